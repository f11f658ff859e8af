#include <ATen/ATen.h>

#include "darkroom/diffusion/guidance.h"
#include "diffusion/per_image.h"

namespace darkroom {
namespace {

at::Tensor centred(const at::Tensor& x) { return x - x.mean(image_dimensions(x), /*keepdim=*/true); }

// Lin et al. 2305.08891, eq. 15 and 16 (diffusers: rescale_noise_cfg). In the ratio of two deviations only
// the norms of what is left of the mean remain.
at::Tensor rescaled(const at::Tensor& guided, const at::Tensor& conditional, double phi) {
  const at::Tensor ratio = image_norm(centred(conditional)) / image_norm(centred(guided));
  return guided * (phi * ratio + (1 - phi));
}

}  // namespace

Denoise guide(Compare compare, Compare alone, PredictionType type, GuidanceScale scale,
              GuideOptions options) {
  return [compare = std::move(compare), alone = std::move(alone), type, scale = std::move(scale), options](
             const at::Tensor& x, const Level& level) {
    const std::optional<double> w = scale(level);
    const Comparison c = w ? compare(x, level) : alone(x, level);
    at::Tensor raw = w ? c.base + *w * c.towards : c.conditional;
    if (w && options.rescale > 0) raw = rescaled(raw, c.conditional, options.rescale);
    Prediction prediction = interpret(type, raw, x, level);
    if (w && options.cfg_pp) {
      const Prediction base = interpret(type, c.base, x, level);
      prediction.eps = base.eps;
      prediction.x0_of_eps = base.x0;
    }
    prediction.variance = c.variance;
    return prediction;
  };
}

}  // namespace darkroom
