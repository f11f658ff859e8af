#pragma once

#include "darkroom/diffusion/walk.h"

namespace darkroom {

/// The step of the walk that a level belongs to: the last one that starts no less noisy. 0 for a level
/// noisier than the start.
int64_t step_of(const Walk& walk, const Level& level);

}  // namespace darkroom
