#pragma once

#include <ATen/core/Tensor.h>

#include "darkroom/diffusion/prediction.h"

namespace darkroom {

/// The point at `to` on the line through x0 and eps: one Euler step of the probability-flow ODE, exact where
/// the denoiser's answer is (Song et al. 2010.02502, section 4.3).
at::Tensor jump(const Prediction& prediction, const Level& to);

/// x moved by the difference between two levels along x0 and eps, which need not belong to x: an Euler step
/// with any slope where alpha and sigma change linearly (alpha = 1, or alpha = 1 - sigma).
at::Tensor advance(const at::Tensor& x, const Prediction& slope, const Level& at, const Level& to);

}  // namespace darkroom
