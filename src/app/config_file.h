#pragma once

#include <filesystem>

#include "app/options.h"

namespace darkroom {

/// Sets options from a file of lines "option = value". A line that begins with # is a comment; quotes around
/// a value are dropped; flags take true or false. Throws UsageError naming file and line.
void read_config(const std::filesystem::path& file, Options& options);

}  // namespace darkroom
