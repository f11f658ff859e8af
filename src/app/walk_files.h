#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "darkroom/model/pipeline.h"

namespace darkroom {

/// Latents of one image, (C, h, w) or (1, C, h, w), from a .npy file. Throws UsageError if they have another
/// shape or are not finite.
at::Tensor read_latents(const std::filesystem::path& file, const std::vector<int64_t>& shape);

/// As (C, h, w), float32. Throws OutputError.
void write_latents(const std::filesystem::path& file, const at::Tensor& latents, bool overwrite);

/// A walk to go on with, from a .safetensors file, and the record of the picture it belongs to.
struct SavedWalk {
  WalkState state;
  nlohmann::json record;
};

/// Throws UsageError if it is no such file.
SavedWalk read_walk(const std::filesystem::path& file);

/// Throws OutputError.
void write_walk(const std::filesystem::path& file, const SavedWalk& walk, bool overwrite);

}  // namespace darkroom
