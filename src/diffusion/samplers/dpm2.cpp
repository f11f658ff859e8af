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

at::Tensor dpm2(const at::Tensor& x, StepContext& context) {
  const auto [start, at] = churn(x, context);
  return midpoint_step(start, at, context.step().to, context);
}

at::Tensor dpm2_ancestral(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const auto& [down, up] = ancestral_step(at, to, context.options.eta);
  return renoise(midpoint_step(x, at, down, context), up, context);
}

}  // namespace

SamplerInfo dpm2_row() {
  return {.name = "dpm2",
          .aliases = {"KDPM2DiscreteScheduler", "dpm_2", "k_dpm_2"},
          .summary = "Euler with the slope of each step's middle; two calls a step",
          .source = "Karras et al. 2206.00364; diffusers KDPM2DiscreteScheduler; k-diffusion sample_dpm_2",
          .order = 2,
          .calls = 2,
          .grid = Grid::sigma,
          .rounds_karras = true,
          .options = {"s-churn", "s-tmin", "s-tmax", "s-noise"},
          .step = dpm2};
}

SamplerInfo dpm2_ancestral_row() {
  return {.name = "dpm2_a",
          .aliases = {"KDPM2AncestralDiscreteScheduler", "dpm_2_ancestral", "DPM2 a", "k_dpm_2_a"},
          .summary = "DPM2 that adds noise again at every step; two calls a step",
          .source = "k-diffusion sample_dpm_2_ancestral; diffusers KDPM2AncestralDiscreteScheduler",
          .order = 2,
          .stochastic = true,
          .calls = 2,
          .grid = Grid::sigma,
          .rounds_karras = true,
          .eta = 1,
          .options = {"eta", "s-noise"},
          .step = dpm2_ancestral};
}

}  // namespace darkroom
