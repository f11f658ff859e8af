#include "darkroom/diffusion/prediction.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>

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

template <class Limit>
Denoise limited(Denoise denoise, LimitedEps eps, Limit limit) {
  return [denoise = std::move(denoise), eps, limit](const at::Tensor& x, const Level& level) {
    Prediction prediction = denoise(x, level);
    prediction.x0 = limit(prediction.x0);
    if (eps == LimitedEps::derived) prediction.eps = (x - prediction.x0 * level.alpha) / level.sigma;
    return prediction;
  };
}

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

Denoise unit_variance(Denoise denoise) {
  return [denoise = std::move(denoise)](const at::Tensor& x, const Level& level) {
    const double scale = std::hypot(level.alpha, level.sigma);
    if (std::abs(scale - 1) < 1e-9) return denoise(x, level);
    return denoise(x / scale, {level.alpha / scale, level.sigma / scale, level.timestep});
  };
}

Denoise clip_sample(Denoise denoise, double range, LimitedEps eps) {
  return limited(std::move(denoise), eps, [range](const at::Tensor& x0) { return x0.clamp(-range, range); });
}

Denoise dynamic_threshold(Denoise denoise, double ratio, double max, LimitedEps eps) {
  return limited(std::move(denoise), eps, [ratio, max](const at::Tensor& x0) {
    const at::Tensor flat = x0.flatten(1);
    // min > max is legal in clamp and gives max: a limit under 1 scales every image.
    const at::Tensor limit = at::quantile(flat.abs(), ratio, 1, /*keepdim=*/true).clamp(1.0, max);
    return (at::minimum(at::maximum(flat, -limit), limit) / limit).view_as(x0);
  });
}

}  // namespace darkroom
