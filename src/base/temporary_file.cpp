#include "base/temporary_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <random>
#include <utility>

#include "base/cause.h"

namespace darkroom {
namespace {

constexpr int kWriteFlags = O_WRONLY | O_CLOEXEC;
constexpr mode_t kMode = 0666;  // less the umask

std::string random_name(const std::string& final_name) {
  std::random_device random;
  std::array<char, 17> digits;
  std::snprintf(digits.data(), digits.size(), "%08x%08x", random(), random());
  std::string name = ".";
  name.append(final_name, 0, 200);  // a long name and the additions must stay below 255 bytes
  name.append(".").append(digits.data()).append(".tmp");
  return name;
}

}  // namespace

TemporaryFile::TemporaryFile(std::filesystem::path final_file, Kind kind)
    : final_file_(std::move(final_file)),
      final_name_(final_file_.filename().string()),
      folder_(::open(final_file_.has_parent_path() ? final_file_.parent_path().c_str() : ".",
                     O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      file_(-1) {
  if (!folder_) fail(errno);
  if (final_name_.empty()) fail(EISDIR);
  if (kind == Kind::unnamed) {
    file_ = Descriptor(::openat(folder_.get(), ".", O_TMPFILE | kWriteFlags, kMode));
    // EISDIR and ENOENT are what kernels and file systems answer that do not know the flag (open(2)).
    if (!file_ && errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT) fail(errno);
  }
  if (!file_) open_named();
}

TemporaryFile::~TemporaryFile() {
  if (!name_.empty()) ::unlinkat(folder_.get(), name_.c_str(), 0);
}

void TemporaryFile::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      fail(errno);
    }
  }
}

void TemporaryFile::publish() {
  finish_data();
  if (name_.empty()) {
    link_unnamed(final_name_);
  } else if (::linkat(folder_.get(), name_.c_str(), folder_.get(), final_name_.c_str(), 0) != 0) {
    // FAT and some network file systems have no hard links (EPERM, EOPNOTSUPP), but can rename without
    // replacing.
    if (errno != EPERM && errno != EOPNOTSUPP) fail(errno);
    if (::renameat2(folder_.get(), name_.c_str(), folder_.get(), final_name_.c_str(), RENAME_NOREPLACE) != 0)
      fail(errno);
    name_.clear();
  } else {
    if (::unlinkat(folder_.get(), name_.c_str(), 0) != 0) fail(errno);
    name_.clear();
  }
  finish_name();
}

void TemporaryFile::publish_over() {
  finish_data();
  struct stat existing;
  // rename(2) would put our file in the place of a device or a pipe.
  if (::fstatat(folder_.get(), final_name_.c_str(), &existing, 0) == 0 && !S_ISREG(existing.st_mode))
    throw OutputError("cannot write '" + final_file_.string() + "': is not a regular file");
  if (name_.empty()) {
    std::string name = random_name(final_name_);
    link_unnamed(name);
    name_ = std::move(name);
  }
  if (::renameat(folder_.get(), name_.c_str(), folder_.get(), final_name_.c_str()) != 0) fail(errno);
  name_.clear();
  finish_name();
}

void TemporaryFile::fail(int error_number) const {
  throw_cannot<OutputError>("write", final_file_, error_number);
}

void TemporaryFile::link_unnamed(const std::string& name) {
  // linkat(2): the way to name an O_TMPFILE that needs no privilege.
  const std::string self = "/proc/self/fd/" + std::to_string(file_.get());
  if (::linkat(AT_FDCWD, self.c_str(), folder_.get(), name.c_str(), AT_SYMLINK_FOLLOW) != 0) fail(errno);
}

void TemporaryFile::open_named() {
  std::string name = random_name(final_name_);
  file_ = Descriptor(::openat(folder_.get(), name.c_str(), O_CREAT | O_EXCL | kWriteFlags, kMode));
  if (!file_) fail(errno);
  name_ = std::move(name);
}

/// The bytes must be on the disk before the name is, or a power cut leaves an empty file of that name.
void TemporaryFile::finish_data() {
  if (::fsync(file_.get()) != 0) fail(errno);
  // A file without a name has to stay open until it is linked.
  if (!name_.empty() && file_.close() != 0) fail(errno);
}

void TemporaryFile::finish_name() {
  if (file_ && file_.close() != 0) fail(errno);
  // EINVAL: a file system that cannot do it for folders.
  if (::fsync(folder_.get()) != 0 && errno != EINVAL) fail(errno);
}

}  // namespace darkroom
