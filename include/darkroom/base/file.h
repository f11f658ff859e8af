#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace darkroom {

/// Writes a file whole or not at all: an unnamed temporary in the same folder (or a named one where the file
/// system has none), every write checked, fsync, link(2) to the final name, fsync of the folder. kill -9 at
/// any moment leaves the whole file or none. With `overwrite` an existing file is replaced in one step
/// (rename(2)). Throws OutputError, naming the file and the cause, if it exists already (and not `overwrite`)
/// or cannot be written.
void write_file(const std::filesystem::path& file, std::span<const uint8_t> bytes, bool overwrite = false);

/// The whole file as bytes. Throws UsageError naming the file and the cause ("is a folder", "permission
/// denied", ...).
std::string read_file(const std::filesystem::path& file);

/// SHA-256 of bytes or of a file, as 64 lower-case hexadecimal digits. The file form throws ModelError if it
/// cannot be read.
std::string sha256(std::span<const uint8_t> bytes);
std::string sha256_of_file(const std::filesystem::path& file);

}  // namespace darkroom
