#pragma once

#include "darkroom/diffusion/guidance.h"
#include "darkroom/diffusion/sampler.h"
#include "darkroom/model/pipeline.h"

namespace darkroom {

/// The levels that these settings walk on this model.
Walk walk_of(const Settings& settings, const Manifest::Stage& stage);

/// Whether both were trained on the same noise levels.
bool same_levels(const Manifest::Stage& a, const Manifest::Stage& b);

SamplerOptions sampler_options_of(const Settings& settings);

/// Whether the sampler's noise is one path, as its row says of this convention.
bool is_brownian(const Settings& settings);

/// How the denoiser's raw outputs read.
OutputKind output_kind(const Manifest::Stage& stage);

/// Guidance, then clipping or thresholding, around the denoiser. To be made anew for each walk.
Denoise denoiser_of(const Settings& settings, const Manifest::Stage& stage, const Walk& walk,
                    BranchedDenoiser denoiser);

}  // namespace darkroom
