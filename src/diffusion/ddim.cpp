#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "darkroom/diffusion/sampler.h"

namespace darkroom {

// Song et al. 2010.02502, eq. 12 and 16.
at::Tensor ddim(const Denoise& denoise, at::Tensor x, const Walk& walk, Noise& noise,
                const SamplerOptions& options, const StepObserver& observer) {
  const auto count = static_cast<int64_t>(walk.steps.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto& [at, to] = walk.steps[static_cast<size_t>(i)];
    const Prediction p = denoise(x, at);
    const double alpha_ratio = at.alpha / to.alpha, sigma_ratio = to.sigma / at.sigma;
    const double deviation = options.eta * sigma_ratio * std::sqrt(1 - alpha_ratio * alpha_ratio);
    const double direction = std::sqrt(std::max(0.0, to.sigma * to.sigma - deviation * deviation));
    x = (p.x0 * to.alpha).add_(p.eps, direction);
    if (options.eta > 0) x.add_(noise.draw(), deviation);
    if (observer) observer(i + 1, count, x);
  }
  return x;
}

}  // namespace darkroom
