#include "darkroom/diffusion/prediction.h"

#include <ATen/ATen.h>

#include <array>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {

namespace {

struct PredictionTypeName {
  std::string_view name;
  PredictionType type;
};
constexpr std::array kPredictionTypes = {
    PredictionTypeName{"epsilon", PredictionType::epsilon},
    PredictionTypeName{"v", PredictionType::v},
    PredictionTypeName{"sample", PredictionType::sample},
    PredictionTypeName{"flow", PredictionType::flow},
};

}  // namespace

PredictionType find_prediction_type(std::string_view name) {
  return find_row<ModelError>("prediction", name, kPredictionTypes).type;
}

Prediction interpret(PredictionType type, const at::Tensor& raw, const at::Tensor& x, const Level& level) {
  const double a = level.alpha, s = level.sigma;
  switch (type) {
    case PredictionType::v:
      return {x * a - raw * s, raw * a + x * s, {}};
    case PredictionType::sample:
      return {raw, (x - raw * a) / s, {}};
    case PredictionType::flow: {
      // x = a x0 + s (x0 + raw); on rectified flow a + s = 1.
      const at::Tensor x0 = (x - raw * s) / (a + s);
      return {x0, x0 + raw, {}};
    }
    case PredictionType::epsilon:
      break;
  }
  return {(x - raw * s) / a, raw, {}};
}

Denoise clip_sample(Denoise denoise, double range) {
  return [denoise = std::move(denoise), range](const at::Tensor& x, const Level& level) {
    Prediction prediction = denoise(x, level);
    prediction.x0 = prediction.x0.clamp(-range, range);
    return prediction;
  };
}

Denoise dynamic_threshold(Denoise denoise, double ratio, double max) {
  return [denoise = std::move(denoise), ratio, max](const at::Tensor& x, const Level& level) {
    Prediction prediction = denoise(x, level);
    const at::Tensor flat = prediction.x0.flatten(1);
    // min > max is legal in clamp and gives max: a limit under 1 scales every image.
    const at::Tensor limit = at::quantile(flat.abs(), ratio, 1, /*keepdim=*/true).clamp(1.0, max);
    prediction.x0 = (at::minimum(at::maximum(flat, -limit), limit) / limit).view_as(prediction.x0);
    return prediction;
  };
}

}  // namespace darkroom
