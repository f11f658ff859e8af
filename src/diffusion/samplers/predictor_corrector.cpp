#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/per_image.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Song et al. 2011.13456, alg. 4: a Langevin step whose length keeps noise and score in the proportion `snr`,
// here for each image alone. With the score -eps / sigma its step size 2 (snr |z| / |score|)^2 leaves
// 2 sigma k (z - k eps) to add, k = snr |z| / |eps|.
at::Tensor langevin(const at::Tensor& x, const Level& level, StepContext& context) {
  const at::Tensor eps = context.denoise(x, level).eps, z = context.noise.draw();
  const at::Tensor k = image_norm(z).div_(image_norm(eps)).mul_(context.options.snr);
  return at::addcmul(x, k, z - k * eps, 2 * level.sigma);
}

// Alg. 2, in any variable: the reverse diffusion of sigma / alpha, then the corrector where it arrived. The
// last step adds no noise.
at::Tensor pc(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const Prediction p = context.denoise(x, at);
  if (to.sigma == 0) return jump(p, to);
  const double s = noise_ratio(at), next = noise_ratio(to);
  const Level mean = {to.alpha, to.alpha * next * next / s, to.timestep};
  at::Tensor y = jump(p, mean).add_(context.noise.draw(), to.alpha * std::sqrt(s * s - next * next));
  for (int64_t i = 0; i < context.options.corrector_steps; ++i) y = langevin(y, to, context);
  return y;
}

}  // namespace

SamplerInfo pc_row() {
  return {.name = "pc",
          .aliases = {"ScoreSdeVeScheduler", "predictor_corrector"},
          .summary = "reverse diffusion, corrected by Langevin steps; for hundreds of steps",
          .source = "Song et al. 2011.13456, alg. 2 and 4",
          .stochastic = true,
          .calls = 2,
          .grid = Grid::sigma,
          .options = {"snr", "corrector-steps"},
          .step = pc};
}

}  // namespace darkroom
