#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace darkroom {

/// A .npy file of numpy: one array of numbers, row-major.
struct NpyArray {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

/// Reads float16, float32 or float64 in either byte order of this machine's kind. The header is checked
/// against the file's length. Throws UsageError naming the file and the fault. Format: numpy.lib.format, 1.0
/// to 3.0.
NpyArray read_npy(const std::filesystem::path& file);

/// As float32, version 1.0, in one piece or not at all (write_file). Throws OutputError.
void write_npy(const std::filesystem::path& file, std::span<const int64_t> shape,
               std::span<const float> values, bool overwrite);

}  // namespace darkroom
