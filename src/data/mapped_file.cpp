#include "data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/cause.h"
#include "base/descriptor.h"

namespace darkroom {

MappedFile::MappedFile(const std::filesystem::path& file) {
  const Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status;
  if (!descriptor || ::fstat(descriptor.get(), &status) != 0) throw_cannot<ModelError>("read", file, errno);
  if (S_ISDIR(status.st_mode)) throw_cannot<ModelError>("read", file, EISDIR);
  const size_t size = static_cast<size_t>(status.st_size);
  if (size == 0) return;  // mmap(2) maps no empty file
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (address == MAP_FAILED) throw_cannot<ModelError>("read", file, errno);
  bytes_ = {static_cast<const uint8_t*>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace darkroom
