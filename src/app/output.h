#pragma once

#include <filesystem>
#include <string>

#include "app/options.h"

namespace darkroom {

/// Where pictures go: names from a template in a folder.
struct Output {
  std::filesystem::path folder;
  std::string name;
};

/// From --output and --name. Throws UsageError for a bad template, OutputError if --output is a file in a
/// folder that does not exist.
Output find_output(const Options& options);

/// Throws OutputError if no file can be made in the folder, or in the nearest folder above it that exists.
void check_writable(const std::filesystem::path& folder);

/// Makes the folder a file is to lie in. Throws OutputError.
void make_folder_of(const std::filesystem::path& file);

}  // namespace darkroom
