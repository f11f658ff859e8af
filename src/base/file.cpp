#include "darkroom/base/file.h"

#include <fcntl.h>
#include <nettle/sha2.h>

#include <array>
#include <cerrno>
#include <vector>

#include "base/cause.h"
#include "base/descriptor.h"
#include "base/temporary_file.h"

namespace darkroom {
namespace {

/// Calls use(bytes) with the file's bytes, a piece at a time. Throws `Kind` where they cannot be had.
template <class Kind, class Use>
void for_each_piece(const std::filesystem::path& file, Use use) {
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!descriptor) throw_cannot<Kind>("read", file, errno);
  std::vector<uint8_t> piece(size_t{1} << 20);
  for (;;) {
    const ssize_t got = ::read(descriptor.get(), piece.data(), piece.size());
    if (got == 0) return;
    if (got > 0) {
      use(std::span<const uint8_t>(piece.data(), static_cast<size_t>(got)));
    } else if (errno != EINTR) {
      throw_cannot<Kind>("read", file, errno);
    }
  }
}

class Sha256 {
 public:
  Sha256() { sha256_init(&state_); }
  void add(std::span<const uint8_t> bytes) { sha256_update(&state_, bytes.size(), bytes.data()); }
  std::string hexadecimal() {
    std::array<uint8_t, SHA256_DIGEST_SIZE> digest;
    sha256_digest(&state_, digest.size(), digest.data());
    std::string text;
    for (const uint8_t byte : digest) {
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
    }
    return text;
  }

 private:
  sha256_ctx state_;
};

}  // namespace

void write_file(const std::filesystem::path& file, std::span<const uint8_t> bytes, bool overwrite) {
  TemporaryFile temporary(file, TemporaryFile::Kind::unnamed);
  temporary.write(bytes);
  if (overwrite) {
    temporary.publish_over();
  } else {
    temporary.publish();
  }
}

std::string read_file(const std::filesystem::path& file) {
  std::string text;
  for_each_piece<UsageError>(
      file, [&](std::span<const uint8_t> piece) { text.append(piece.begin(), piece.end()); });
  return text;
}

std::string sha256(std::span<const uint8_t> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hexadecimal();
}

std::string sha256_of_file(const std::filesystem::path& file) {
  Sha256 hash;
  for_each_piece<ModelError>(file, [&](std::span<const uint8_t> piece) { hash.add(piece); });
  return hash.hexadecimal();
}

}  // namespace darkroom
