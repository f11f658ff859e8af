#include "diffusion/samplers/ode.h"

#include <ATen/ATen.h>

namespace darkroom {

at::Tensor jump(const Prediction& prediction, const Level& to) {
  if (to.alpha == 1) return at::add(prediction.x0, prediction.eps, to.sigma);
  return (prediction.x0 * to.alpha).add_(prediction.eps, to.sigma);
}

at::Tensor advance(const at::Tensor& x, const Prediction& slope, const Level& at, const Level& to,
                   double share) {
  const at::Tensor moved = at::add(x, slope.eps, share * (to.sigma - at.sigma));
  return to.alpha == at.alpha ? moved : moved.add(slope.x0, share * (to.alpha - at.alpha));
}

}  // namespace darkroom
