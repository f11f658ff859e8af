#pragma once

#include <cstdint>
#include <filesystem>

namespace darkroom {

/// Bytes that this process may still take: the machine's available memory, or what its control group (version
/// 2 or 1) leaves if that is less. `root` stands before /proc and /sys.
int64_t available_memory(const std::filesystem::path& root = "/");

}  // namespace darkroom
