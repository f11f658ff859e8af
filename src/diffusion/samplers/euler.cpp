#include "diffusion/samplers/ancestral.h"
#include "diffusion/samplers/churn.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

at::Tensor euler(const at::Tensor& x, StepContext& context) {
  const auto [start, at] = churn(x, context);
  return jump(context.denoise(start, at), context.step().to);
}

at::Tensor euler_ancestral(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const auto& [down, up] = ancestral_step(at, to, context.options.eta);
  return renoise(jump(context.denoise(x, at), down), up, context);
}

}  // namespace

SamplerInfo euler_row() {
  return {.name = "euler",
          .aliases = {"EulerDiscreteScheduler", "k_euler"},
          .summary = "the simplest; DDIM in another variable",
          .source =
              "Karras et al. 2206.00364, alg. 2 without correction; diffusers "
              "EulerDiscreteScheduler; k-diffusion sample_euler",
          .grid = Grid::sigma,
          .options = {"s-churn", "s-tmin", "s-tmax", "s-noise"},
          .step = euler};
}

SamplerInfo euler_ancestral_row() {
  return {.name = "euler_a",
          .aliases = {"EulerAncestralDiscreteScheduler", "euler_ancestral", "Euler a", "k_euler_a"},
          .summary = "Euler that adds noise again at every step; varied, never converges",
          .source = "k-diffusion sample_euler_ancestral; diffusers EulerAncestralDiscreteScheduler",
          .stochastic = true,
          .grid = Grid::sigma,
          .eta = 1,
          .options = {"eta", "s-noise"},
          .step = euler_ancestral};
}

}  // namespace darkroom
