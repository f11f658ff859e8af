#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace darkroom {

/// A file mapped for reading. The bytes live as long as the object; a file cut short by another process while
/// it is mapped ends this one (SIGBUS).
class MappedFile {
 public:
  /// Throws ModelError naming the file and the cause.
  explicit MappedFile(const std::filesystem::path& file);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace darkroom
