#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string_view>

#include "darkroom/diffusion/level.h"

namespace darkroom {

/// What a denoiser says about x, in the two terms every sampler can use. The two need not be consistent:
/// clipping changes x0 alone, CFG++ gives an eps of its own.
struct Prediction {
  at::Tensor x0;
  at::Tensor eps;
  at::Tensor variance;        ///< raw output of networks that learn it, in [-1, 1]; undefined otherwise
  at::Tensor x0_of_eps = {};  ///< where eps belongs to another x0 than `x0` (CFG++); undefined otherwise
};

/// x (B, ...) and its level -> prediction, in the dtype of x. Guidance, clipping, masks: each is one of these
/// around another.
using Denoise = std::function<Prediction(const at::Tensor& x, const Level& level)>;

/// What a network was trained to put out.
enum class PredictionType {
  epsilon,  ///< the noise
  v,        ///< alpha * eps - sigma * x0 (Salimans & Ho 2202.00512)
  sample,   ///< x0
  flow,     ///< eps - x0 (rectified flow)
};

/// "epsilon", "v", "sample", "flow". Throws ModelError for another word.
PredictionType find_prediction_type(std::string_view name);

/// x0 and eps from the network's raw output. Division by alpha = 0 (epsilon at zero terminal SNR) is the
/// caller's to prevent. diffusers: step() of DDIMScheduler.
Prediction interpret(PredictionType type, const at::Tensor& raw, const at::Tensor& x, const Level& level);

/// For networks that were trained on alpha^2 + sigma^2 = 1: x and its level are scaled to that before
/// `denoise` sees them (diffusers: scale_model_input). x0 and eps mean the same at any scale.
Denoise unit_variance(Denoise denoise);

/// What becomes of eps where x0 is limited: it stays what the network said, or it becomes what x holds beside
/// the new x0.
enum class LimitedEps { kept, derived };

/// x0 limited to [-range, range] (diffusers: clip_sample).
Denoise clip_sample(Denoise denoise, double range, LimitedEps eps);

/// Dynamic thresholding (Imagen, 2205.11487, section 2.3): per image, x0 is limited to the `ratio` quantile
/// of |x0|, where that is over 1, but at most `max`, and divided by it. diffusers: _threshold_sample.
Denoise dynamic_threshold(Denoise denoise, double ratio, double max, LimitedEps eps);

}  // namespace darkroom
