#pragma once

#include "darkroom/diffusion/sampler.h"

namespace darkroom {

/// A step divided in two: a deterministic one to `down`, and noise of deviation `up` that leads from there to
/// the level wanted. eta 1 adds what DDPM's posterior would (k-diffusion get_ancestral_step).
struct AncestralStep {
  Level down;
  double up;
};

AncestralStep ancestral_step(const Level& at, const Level& to, double eta);

/// x with new noise of deviation `up`, times s_noise; where up is 0, as in a last step, none is drawn.
at::Tensor renoise(const at::Tensor& x, double up, StepContext& context);

}  // namespace darkroom
