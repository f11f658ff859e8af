#include "diffusion/samplers/churn.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Karras et al. 2206.00364, alg. 2: half of the first slope gives way to the slope at the end.
at::Tensor heun(const at::Tensor& x, StepContext& context) {
  const auto [start, at] = churn(x, context);
  const Level& to = context.step().to;
  const Prediction first = context.denoise(start, at);
  const at::Tensor there = jump(first, to);
  if (to.sigma == 0) return there;
  const Prediction second = context.denoise(there, to);
  return advance(advance(there, first, at, to, -0.5), second, at, to, 0.5);
}

}  // namespace

SamplerInfo heun_row() {
  return {.name = "heun",
          .aliases = {"HeunDiscreteScheduler", "k_heun"},
          .summary = "Euler with a second look at each step's end; two calls a step",
          .source =
              "Karras et al. 2206.00364, alg. 1; diffusers HeunDiscreteScheduler; k-diffusion "
              "sample_heun",
          .order = 2,
          .calls = 2,
          .grid = Grid::sigma,
          .options = {"s-churn", "s-tmin", "s-tmax", "s-noise"},
          .step = heun};
}

}  // namespace darkroom
