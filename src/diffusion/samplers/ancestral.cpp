#include "diffusion/samplers/ancestral.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace darkroom {

AncestralStep ancestral_step(const Level& at, const Level& to, double eta) {
  const double next = noise_ratio(to), fall = next / noise_ratio(at);
  const double up = std::min(next, eta * next * std::sqrt((1 - fall) * (1 + fall)));
  const double down = std::sqrt(next * next - up * up);
  return {{to.alpha, down * to.alpha, to.timestep}, up * to.alpha};
}

at::Tensor renoise(const at::Tensor& x, double up, StepContext& context) {
  return up > 0 ? x.add(context.noise.draw(), up * context.options.s_noise) : x;
}

}  // namespace darkroom
