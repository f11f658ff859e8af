#pragma once

namespace darkroom {

/// Gives memory that is free in the program back to the system.
void release_freed_memory();

}  // namespace darkroom
