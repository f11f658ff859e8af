#pragma once

#include "darkroom/model/manifest.h"
#include "model/json_reader.h"

namespace darkroom {

/// A stage's "schedule": trained noise levels, or rectified flow. Throws ModelError.
void read_schedule(JsonReader reader, Manifest::Stage& stage);

/// A stage's "align_your_steps", after its schedule. Throws ModelError.
void read_align_your_steps(JsonReader reader, Manifest::Stage& stage);

}  // namespace darkroom
