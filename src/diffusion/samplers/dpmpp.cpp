#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

double log_snr(const Level& level) { return -std::log(noise_ratio(level)); }

}  // namespace

// Lu et al. 2211.01095, eq. 3.9 and alg. 2. The first and last steps look at one evaluation only.
at::Tensor dpmpp_2m(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const at::Tensor x0 = context.evaluate(x).x0;
  const double h = log_snr(to) - log_snr(at);
  const double keep = to.sigma / at.sigma, gain = -to.alpha * std::expm1(-h);
  const bool last = context.left() == 1 && (to.sigma == 0 || context.walk.steps.size() < 15);
  if (context.history.size() < 2 || last) return (x * keep).add_(x0, gain);
  const Evaluation& before = context.history[1];
  const double half = gain * h / (log_snr(at) - log_snr(before.level)) / 2;
  return (x * keep).add_(x0, gain + half).add_(before.prediction.x0, -half);
}

}  // namespace darkroom
