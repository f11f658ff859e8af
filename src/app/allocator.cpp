#include "app/allocator.h"

#include <cstddef>

// jemalloc's, which the program is linked with and the tests are not.
extern "C" {
// Read when the program starts. Every step frees and takes the same memory: given back to the system in
// between, a quarter of the time of a large model's step on a CPU goes into getting it again.
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1";
int mallctl(const char*, void*, size_t*, void*, size_t) __attribute__((weak));
}

namespace darkroom {

void release_freed_memory() {
  // 4096: all arenas, MALLCTL_ARENAS_ALL of jemalloc.h.
  if (mallctl) mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);
}

}  // namespace darkroom
