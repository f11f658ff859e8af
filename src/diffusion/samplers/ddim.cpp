#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Song et al. 2010.02502, eq. 12 and 16.
at::Tensor ddim(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const double eta = context.options.eta;
  const Prediction p = context.denoise(x, at);
  const double alpha_ratio = at.alpha / to.alpha, sigma_ratio = to.sigma / at.sigma;
  const double deviation = eta * sigma_ratio * std::sqrt(1 - alpha_ratio * alpha_ratio);
  const double direction = std::sqrt(std::max(0.0, to.sigma * to.sigma - deviation * deviation));
  const at::Tensor next = (p.x0 * to.alpha).add_(p.eps, direction);
  return eta > 0 ? next.add(context.noise.draw(), deviation) : next;
}

}  // namespace

SamplerInfo ddim_row() {
  return {.name = "ddim",
          .aliases = {"DDIMScheduler"},
          .summary = "deterministic by default (--eta 0); few steps suffice",
          .source = "Song et al. 2010.02502; diffusers DDIMScheduler",
          .previous = Previous::constant,
          .final = Final::first_trained,
          .model_decides_final = true,
          .limited_eps = LimitedEps::kept,
          .options = {"eta", "prev"},
          .step = ddim};
}

}  // namespace darkroom
