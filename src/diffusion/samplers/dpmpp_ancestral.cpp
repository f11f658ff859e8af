#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/samplers/ancestral.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

Level middle_of(const Level& at, const Level& to, const StepContext& context) {
  return context.walk.level_at(std::sqrt(noise_ratio(at) * noise_ratio(to)));
}

// The exponential integrator's step with the x0 seen in its middle: x' = (s'/s) x + a' (1 - r'/r) x0, r = s/a
// (Lu et al. 2211.01095, alg. 1 with r_1 = 1/2).
at::Tensor second_order(const Prediction& first, const Prediction& middle, const Level& at, const Level& to) {
  const double weight = to.alpha * (1 - noise_ratio(to) / noise_ratio(at));
  return jump(first, to).add_(middle.x0 - first.x0, weight);
}

at::Tensor dpmpp_2s_ancestral(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const auto& [down, up] = ancestral_step(at, to, context.options.eta);
  const Prediction first = context.denoise(x, at);
  if (down.sigma == 0) return jump(first, to);
  const Level middle = middle_of(at, down, context);
  const Prediction second = context.denoise(jump(first, middle), middle);
  return renoise(second_order(first, second, at, down), up, context);
}

// The middle is reached as an ancestral step too, with noise of its own from the same path.
at::Tensor dpmpp_sde(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const double eta = context.options.eta;
  const Prediction first = context.denoise(x, at);
  if (to.sigma == 0) return jump(first, to);
  const Level middle = middle_of(at, to, context);
  const AncestralStep half = ancestral_step(at, middle, eta), whole = ancestral_step(at, to, eta);
  const auto renoised = [&](const at::Tensor& y, double up, const Level& level) {
    const double deviation = up * context.options.s_noise;
    return up > 0 ? y.add(context.noise.draw_over(noise_ratio(at), noise_ratio(level)), deviation) : y;
  };
  const at::Tensor inner = renoised(jump(first, half.down), half.up, middle);
  const Prediction second = context.denoise(inner, middle);
  return renoised(second_order(first, second, at, whole.down), whole.up, to);
}

}  // namespace

SamplerInfo dpmpp_2s_ancestral_row() {
  return {.name = "dpm++2s_a",
          .aliases = {"dpmpp_2s_ancestral", "DPM++ 2S a", "k_dpmpp_2s_a"},
          .summary = "DPM++ with a second look and new noise at every step; two calls a step",
          .source = "Lu et al. 2211.01095, alg. 1; k-diffusion sample_dpmpp_2s_ancestral",
          .order = 2,
          .stochastic = true,
          .calls = 2,
          .grid = Grid::sigma,
          .eta = 1,
          .options = {"eta", "s-noise"},
          .step = dpmpp_2s_ancestral};
}

SamplerInfo dpmpp_sde_row() {
  return {.name = "dpm++sde",
          .aliases = {"DPMSolverSDEScheduler", "dpmpp_sde", "DPM++ SDE", "k_dpmpp_sde"},
          .summary = "DPM++ of the stochastic equation; fine detail in few steps, two calls a step",
          .source =
              "Lu et al. 2211.01095; k-diffusion sample_dpmpp_sde; diffusers "
              "DPMSolverSDEScheduler",
          .order = 2,
          .stochastic = true,
          .draws = Draws::brownian,
          .calls = 2,
          .grid = Grid::sigma,
          .eta = 1,
          .options = {"eta", "s-noise"},
          .step = dpmpp_sde};
}

}  // namespace darkroom
