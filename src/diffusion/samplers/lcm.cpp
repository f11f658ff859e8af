#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Luo et al. 2310.04378: what the consistency function says x0 is, noised again. The function is bound to be
// the identity at timestep 0 (diffusers: get_scalings_for_boundary_condition_discrete).
at::Tensor lcm(const at::Tensor& x, StepContext& context) {
  constexpr double kTimestepScaling = 10, kDataDeviation = 0.5;
  const auto& [at, to] = context.step();
  const double scaled = kTimestepScaling * at.timestep, spread = std::hypot(scaled, kDataDeviation);
  const double out = scaled / spread, skip = std::pow(kDataDeviation / spread, 2);
  const Prediction p = context.denoise(x, at);
  const double unit_variance = 1 / std::hypot(at.alpha, at.sigma);
  const at::Tensor mean = (p.x0 * (to.alpha * out)).add_(x, to.alpha * skip * unit_variance);
  return to.sigma == 0 ? mean : mean.add(context.noise.draw(), to.sigma);
}

// Zheng et al. 2402.19159, strategic stochastic sampling: along the trajectory to a timestep before the
// step's end, back to it with noise. eta, there gamma, is the share of the way that is noise.
at::Tensor tcd(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const double eta = context.options.eta;
  // diffusers multiplies in float32, which decides on which side of a whole number the product falls.
  const float before = static_cast<float>(1 - eta) * static_cast<float>(to.timestep);
  const Level through = context.walk.at_timestep(std::floor(before));
  const at::Tensor clean = jump(context.denoise(x, at), through);
  if (eta == 0 || context.left() == 1) return clean;
  const double keep = to.alpha / through.alpha, kept = keep * through.sigma;
  const double deviation = std::sqrt(std::max(0.0, to.sigma * to.sigma - kept * kept));
  return (clean * keep).add_(context.noise.draw(), deviation);
}

}  // namespace

SamplerInfo lcm_row() {
  return {.name = "lcm",
          .aliases = {"LCMScheduler"},
          .summary = "for latent consistency models: 2 to 8 steps, of timesteps all its own",
          .source = "Luo et al. 2310.04378; diffusers LCMScheduler",
          .stochastic = true,
          .reads_eps = false,
          .grid = Grid::consistency,
          .options = {"original-steps"},
          .step = lcm};
}

SamplerInfo tcd_row() {
  return {.name = "tcd",
          .aliases = {"TCDScheduler"},
          .summary = "for trajectory consistency models; --eta adds noise, 0.3 in their paper",
          .source = "Zheng et al. 2402.19159; diffusers TCDScheduler",
          .grid = Grid::consistency,
          .final = Final::first_trained,
          .options = {"eta", "original-steps"},
          .step = tcd};
}

}  // namespace darkroom
