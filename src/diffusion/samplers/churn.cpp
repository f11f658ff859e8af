#include "diffusion/samplers/churn.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace darkroom {

Churned churn(const at::Tensor& x, StepContext& context) {
  const SamplerOptions& options = context.options;
  const Level& at = context.step().at;
  const double ratio = noise_ratio(at);
  const bool inside = options.s_tmin <= ratio && ratio <= options.s_tmax && std::isfinite(ratio);
  if (!inside || options.s_churn <= 0) return {x, at};

  const auto steps = static_cast<double>(context.walk.steps.size());
  const double gamma = std::min(options.s_churn / steps, std::numbers::sqrt2 - 1);
  const Level hat = context.walk.level_at(ratio * (1 + gamma));
  const double added = std::sqrt(gamma * (2 + gamma)) * ratio * hat.alpha;
  const at::Tensor scaled = hat.alpha == at.alpha ? x : x * (hat.alpha / at.alpha);
  return {scaled.add(context.noise.draw(), options.s_noise * added), hat};
}

}  // namespace darkroom
