#include "diffusion/samplers/ancestral.h"
#include "diffusion/samplers/churn.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {

at::Tensor euler(const at::Tensor& x, StepContext& context) {
  const auto [start, at] = churn(x, context);
  return jump(context.denoise(start, at), context.step().to);
}

at::Tensor euler_ancestral(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const auto& [down, up] = ancestral_step(at, to, context.options.eta);
  return renoise(jump(context.denoise(x, at), down), up, context);
}

}  // namespace darkroom
