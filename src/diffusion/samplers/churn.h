#pragma once

#include "darkroom/diffusion/sampler.h"

namespace darkroom {

/// Where a step begins: x, and the level it has.
struct Churned {
  at::Tensor x;
  Level at;
};

/// The step's start with noise added up to a level somewhat higher (Karras et al. 2206.00364, alg. 2, lines 4
/// to 6); x itself where nothing is to be added, and then no noise is drawn. The denoiser is to be asked
/// there. diffusers' Euler asks it before the noise is added, which is another sampler: not followed.
Churned churn(const at::Tensor& x, StepContext& context);

}  // namespace darkroom
