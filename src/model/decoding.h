#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "darkroom/model/manifest.h"
#include "darkroom/model/pipeline.h"
#include "darkroom/nn/network.h"

namespace darkroom {

/// latents (B, C, h, w) -> B pictures, or why one is unusable; the decoder sees `slice` of them at a time.
/// Throws ModelError for pictures of another size than the settings say.
std::vector<Outcome> decode(Network& decoder, const Manifest::Output& output, const at::Tensor& latents,
                            const Settings& settings, int64_t slice);

}  // namespace darkroom
