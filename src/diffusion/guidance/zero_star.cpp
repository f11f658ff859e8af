#include <ATen/ATen.h>

#include "darkroom/diffusion/guidance.h"
#include "diffusion/guidance/step_of.h"
#include "diffusion/per_image.h"

namespace darkroom {

Compare optimised_scale(Compare compare) {
  return [compare = std::move(compare)](const at::Tensor& x, const Level& level) {
    Comparison comparison = compare(x, level);
    at::Tensor& base = comparison.base;
    const at::Tensor scaled =
        base * (image_product(comparison.conditional, base) / (image_product(base, base) + 1e-8));
    comparison.towards = comparison.towards + (base - scaled);
    base = scaled;
    return comparison;
  };
}

Denoise zero_init(Denoise denoise, PredictionType type, const Walk& walk, int64_t steps) {
  return [denoise = std::move(denoise), type, walk, steps](const at::Tensor& x, const Level& level) {
    return step_of(walk, level) < steps ? interpret(type, at::zeros_like(x), x, level) : denoise(x, level);
  };
}

}  // namespace darkroom
