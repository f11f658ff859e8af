#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/samplers/ancestral.h"
#include "diffusion/samplers/exponential.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Zhang et al. 2308.02157: the exponential integrator of second order that looks back one step, to the lower
// level of an ancestral step. With noise the length looked back counts from where the last
// deterministic part ended, as in ComfyUI.
at::Tensor res_multistep(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const double eta = context.options.eta;
  const auto& [down, up] = ancestral_step(at, to, eta);
  const Prediction p = context.evaluate(x);
  at::Tensor next = jump(p, down);
  if (down.sigma > 0 && context.history.size() > 1) {
    const Step& before = context.walk.steps[context.index - 1];
    const double h = log_snr(down) - log_snr(at);
    const double back = log_snr(ancestral_step(before.at, before.to, eta).down) - log_snr(before.at);
    const double h_phi2 = 1 + std::expm1(-h) / h;
    next.add_(p.x0 - context.history[1].prediction.x0, down.alpha * h_phi2 * h / back);
  }
  return renoise(next, up, context);
}

}  // namespace

SamplerInfo res_multistep_row() {
  return {.name = "res_multistep",
          .aliases = {},
          .summary = "looks back one step for free; deterministic unless --eta is given",
          .source =
              "Zhang et al. 2308.02157; ComfyUI res_multistep, with --eta 1 "
              "res_multistep_ancestral",
          .order = 2,
          .grid = Grid::sigma,
          .memory = 1,
          .options = {"eta", "s-noise"},
          .step = res_multistep};
}

}  // namespace darkroom
