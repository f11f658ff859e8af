#include <cmath>

#include "diffusion/samplers/ancestral.h"
#include "diffusion/samplers/churn.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// The midpoint rule, with the middle in log sigma (Lu et al. 2206.00927, DPM-Solver-2, whose slope Karras et
// al. 2206.00364 take over the whole step).
at::Tensor midpoint_step(const at::Tensor& x, const Level& at, const Level& to, StepContext& context) {
  const Prediction first = context.denoise(x, at);
  const at::Tensor there = jump(first, to);
  if (to.sigma == 0) return there;
  const Level middle = context.walk.level_at(std::sqrt(noise_ratio(at) * noise_ratio(to)));
  const Prediction second = context.denoise(jump(first, middle), middle);
  return advance(advance(there, first, at, to, -1), second, at, to);
}

}  // namespace

at::Tensor dpm2(const at::Tensor& x, StepContext& context) {
  const auto [start, at] = churn(x, context);
  return midpoint_step(start, at, context.step().to, context);
}

at::Tensor dpm2_ancestral(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const auto& [down, up] = ancestral_step(at, to, context.options.eta);
  return renoise(midpoint_step(x, at, down, context), up, context);
}

}  // namespace darkroom
