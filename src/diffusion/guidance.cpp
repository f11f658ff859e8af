#include "darkroom/diffusion/guidance.h"

#include <ATen/ATen.h>

namespace darkroom {

Denoise classifier_free_guidance(Branches branches, OutputKind kind, double scale) {
  return [branches = std::move(branches), kind, scale](const at::Tensor& x, const Level& level) {
    const bool guided = scale > 1;
    const std::vector<Branch> wanted =
        guided ? std::vector{Branch::unconditional, Branch::conditional} : std::vector{Branch::conditional};
    std::vector<at::Tensor> raw = branches(x, level, wanted);
    for (at::Tensor& output : raw) output = output.to(x.scalar_type());

    at::Tensor variance;
    if (kind.learned_variance) {
      const int64_t channels = x.size(1);
      variance = raw.back().narrow(1, channels, channels);
      for (at::Tensor& output : raw) output = output.narrow(1, 0, channels);
    }
    const at::Tensor output = guided ? raw[0] + scale * (raw[1] - raw[0]) : raw[0];
    Prediction prediction = interpret(kind.type, output, x, level);
    prediction.variance = variance;
    return prediction;
  };
}

}  // namespace darkroom
