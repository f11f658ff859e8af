#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

double log_snr(const Level& level) { return -std::log(noise_ratio(level)); }

}  // namespace

// Lu et al. 2211.01095, eq. 3.9 and alg. 2. The first and last steps look at one evaluation only.
at::Tensor dpmpp_2m(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const Prediction p = context.evaluate(x);
  at::Tensor next = jump(p, to);
  const bool last = context.left() == 1 && (to.sigma == 0 || context.walk.steps.size() < 15);
  if (context.history.size() < 2 || last) return next;
  const Evaluation& before = context.history[1];
  const double h = log_snr(to) - log_snr(at), r = (log_snr(at) - log_snr(before.level)) / h;
  return next.add_(p.x0 - before.prediction.x0, -to.alpha * std::expm1(-h) / (2 * r));
}

}  // namespace darkroom
