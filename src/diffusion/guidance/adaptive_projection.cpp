#include <ATen/ATen.h>

#include <memory>

#include "darkroom/diffusion/guidance.h"
#include "diffusion/per_image.h"

namespace darkroom {

Compare adaptive_projection(Compare compare, ProjectionOptions options) {
  return [compare = std::move(compare), options, running = std::make_shared<at::Tensor>()](
             const at::Tensor& x, const Level& level) {
    Comparison comparison = compare(x, level);
    at::Tensor& towards = comparison.towards;
    if (options.momentum != 0) {
      if (running->defined()) towards = towards + options.momentum * *running;
      *running = towards;
    }
    if (options.norm > 0) towards = towards * (options.norm / image_norm(towards)).clamp_max(1);
    if (options.eta != 1) {
      const at::Tensor unit = comparison.conditional / image_norm(comparison.conditional).clamp_min(1e-12);
      towards = towards + unit * (image_product(towards, unit) * (options.eta - 1));
    }
    return comparison;
  };
}

}  // namespace darkroom
