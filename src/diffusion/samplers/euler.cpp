#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/samplers/ancestral.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {

at::Tensor euler(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  return jump(context.denoise(x, at), to);
}

at::Tensor euler_ancestral(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const auto& [down, up] = ancestral_step(at, to, context.options.eta);
  const at::Tensor next = jump(context.denoise(x, at), down);
  return next.add(context.noise.draw(), up * context.options.s_noise);
}

}  // namespace darkroom
