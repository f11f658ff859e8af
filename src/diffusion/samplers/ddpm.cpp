#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Deviation of the step at -> to. `beta` is the forward variance from `to` to `at`, `posterior` the variance
// given x0.
at::Tensor add_noise(const at::Tensor& mean, const at::Tensor& z, Variance kind, double beta,
                     double posterior, const at::Tensor& learned) {
  switch (kind) {
    case Variance::fixed_large:
      return mean.add(z, std::sqrt(beta));
    case Variance::learned_range: {
      const double low = std::log(posterior), high = std::log(beta);
      const at::Tensor log_variance = (learned + 1) * ((high - low) / 2) + low;
      return at::addcmul(mean, (log_variance / 2).exp_(), z);
    }
    case Variance::fixed_small:
      break;
  }
  return mean.add(z, std::sqrt(posterior));
}

// Ho et al. 2006.11239, eq. 6 and 7, between any two levels (diffusers: DDPMScheduler.step).
at::Tensor ddpm(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const Prediction p = context.denoise(x, at);
  const double keep = at.alpha / to.alpha;
  const double beta = 1 - keep * keep;
  const double to_variance = to.sigma * to.sigma, at_variance = at.sigma * at.sigma;
  const at::Tensor mean = (p.x0 * (to.alpha * beta / at_variance)).add_(x, keep * to_variance / at_variance);
  // diffusers draws wherever t > 0, so also in a last step that starts at t = 1 (leading spacing with an
  // offset).
  if (at.timestep <= 0) return mean;
  const double posterior = std::max(to_variance / at_variance * beta, 1e-20);
  return add_noise(mean, context.noise.draw(), context.options.variance, beta, posterior, p.variance);
}

}  // namespace

SamplerInfo ddpm_row() {
  return {.name = "ddpm",
          .aliases = {"DDPMScheduler"},
          .summary = "the original ancestral walk; noise at every step, many steps",
          .source = "Ho et al. 2006.11239; diffusers DDPMScheduler",
          .stochastic = true,
          .reads_eps = false,
          .options = {"variance"},
          .step = ddpm};
}

}  // namespace darkroom
