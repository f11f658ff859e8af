#pragma once

#include <vector>

#include "darkroom/diffusion/walk.h"
#include "darkroom/model/pipeline.h"

namespace darkroom {

/// The part of a walk that one model's denoiser makes: steps [begin, end).
struct Leg {
  Walk walk;
  size_t begin, end;
};

/// All of the walk; with a refiner the base's leg, whose timesteps are at or above round(T (1 -
/// refiner_start)), and the refiner's, those of its own walk that are below (denoising_end and
/// denoising_start of diffusers' SDXL pipelines, at whole steps). `refiner` is null without one. Throws
/// UsageError for a leg without steps.
std::vector<Leg> legs_of(const Settings& settings, const Manifest::Stage& base,
                         const Manifest::Stage* refiner);

}  // namespace darkroom
