#include <ATen/ATen.h>

#include "diffusion/samplers/exponential.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Zhang & Chen 2204.13902, eq. 15, with polynomials in log rho, which is -log_snr: exact integrals.
at::Tensor deis(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  context.evaluate(x);
  const double h = log_snr(to) - log_snr(at);
  const size_t order = multistep_order(context, solver_order(context.options, 2));
  return integrate_eps(context.history, weights_at(nodes(context.history, 0, order, h), moments(-h)), to);
}

}  // namespace

SamplerInfo deis_row() {
  return {.name = "deis",
          .aliases = {"DEISMultistepScheduler"},
          .summary = "dpm_solver with exact integrals",
          .source = "Zhang & Chen 2204.13902; diffusers DEISMultistepScheduler",
          .order = 2,
          .grid = Grid::multistep,
          .final = Final::first_trained,
          .memory = 2,
          .options = {"solver-order", "lower-order-final"},
          .highest_order = 3,
          .step = deis};
}

}  // namespace darkroom
