#pragma once

#include <ATen/core/Tensor.h>

#include "darkroom/diffusion/prediction.h"

namespace darkroom {

/// The point at `to` on the line through x0 and eps: one Euler step of the probability-flow ODE, exact where
/// the denoiser's answer is (Song et al. 2010.02502, section 4.3).
at::Tensor jump(const Prediction& prediction, const Level& to);

/// x moved along a slope, dx = x0 d(alpha) + eps d(sigma), by `share` of the way between two levels. A share
/// of -1 takes back what a jump did, so that another slope can take its place.
at::Tensor advance(const at::Tensor& x, const Prediction& slope, const Level& at, const Level& to,
                   double share = 1);

}  // namespace darkroom
