#pragma once

#include <functional>
#include <vector>

#include "darkroom/diffusion/prediction.h"

namespace darkroom {

/// The conditionings a guidance may ask the network about.
enum class Branch { unconditional, conditional };

/// Raw network outputs for x under the wanted branches, in that order: one network call for all of them.
/// Batches are laid out branch by branch, [unconditional (all images), conditional (all images)], as in
/// diffusers.
using Branches = std::function<std::vector<at::Tensor>(const at::Tensor& x, const Level& level,
                                                       const std::vector<Branch>& wanted)>;

/// How to read a raw output.
struct OutputKind {
  PredictionType type = PredictionType::epsilon;
  bool learned_variance =
      false;  ///< twice the channels: prediction, then variance (Nichol & Dhariwal 2102.09672)
};

/// Classifier-free guidance (Ho & Salimans 2207.12598): u + scale * (c - u) on the raw outputs, the variance
/// from the conditional branch. At scale <= 1 the conditional output alone and no unconditional call, as in
/// diffusers.
Denoise classifier_free_guidance(Branches branches, OutputKind kind, double scale);

}  // namespace darkroom
