#include <ATen/ATen.h>

#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {

at::Tensor heun(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const Prediction first = context.denoise(x, at);
  const at::Tensor there = jump(first, to);
  if (to.sigma == 0) return there;
  const Prediction second = context.denoise(there, to);
  return advance(x, {(first.x0 + second.x0) / 2, (first.eps + second.eps) / 2, {}}, at, to);
}

}  // namespace darkroom
