#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace darkroom {

/// Where models are looked up by name: the folders in $DARKROOM_MODELS (separated by colons), then
/// PREFIX/models and PREFIX/share/darkroom/models, PREFIX being the folder above the one the program lies in.
std::vector<std::filesystem::path> model_search_path();

/// The folders on the search path that hold a model.json, nearest first, one for each name.
std::vector<std::filesystem::path> installed_models(const std::vector<std::filesystem::path>& search_path);

/// A model's folder, from a path or the name of an installed model. Throws ModelError saying where it was
/// looked for and naming the nearest.
std::filesystem::path find_model(const std::string& path_or_name,
                                 const std::vector<std::filesystem::path>& search_path);

}  // namespace darkroom
