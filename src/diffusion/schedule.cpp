#include "darkroom/diffusion/schedule.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

at::Tensor linspace(double start, double end, int64_t steps) {
  return at::linspace(start, end, steps, at::kFloat);
}

// Nichol & Dhariwal 2102.09672, eq. 17, in double as diffusers' betas_for_alpha_bar.
at::Tensor cosine_betas(int64_t steps) {
  const auto alpha_bar = [](double u) {
    const double c = std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
  };
  at::Tensor betas = at::empty({steps}, at::kFloat);
  auto values = betas.accessor<float, 1>();
  const double count = static_cast<double>(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const double u = static_cast<double>(i) / count, next = static_cast<double>(i + 1) / count;
    values[i] = static_cast<float>(std::min(1 - alpha_bar(next) / alpha_bar(u), 0.999));
  }
  return betas;
}

at::Tensor zero_terminal_snr(const at::Tensor& betas) {
  at::Tensor root = at::cumprod(1.0 - betas, 0).sqrt();
  const at::Tensor first = root[0].clone(), last = root[-1].clone();
  root = (root - last) * (first / (first - last));
  const at::Tensor alpha_bar = root.square();
  const at::Tensor alphas =
      at::cat({alpha_bar.slice(0, 0, 1), alpha_bar.slice(0, 1) / alpha_bar.slice(0, 0, -1)});
  return 1 - alphas;
}

at::Tensor make_betas(const ScheduleSpec& spec) {
  if (spec.kind == "trained") {
    if (spec.betas.empty()) throw ModelError("schedule 'trained' has no betas");
    return at::tensor(spec.betas, at::kDouble).to(at::kFloat);
  }
  if (spec.steps < 1)
    throw ModelError("schedule.steps is " + std::to_string(spec.steps) + "; at least 1 is allowed");
  if (spec.kind == "cosine") return cosine_betas(spec.steps);
  if (!(spec.beta_start > 0 && spec.beta_start < 1 && spec.beta_end > 0 && spec.beta_end < 1))
    throw ModelError("schedule.beta_start and beta_end must lie between 0 and 1");
  if (spec.kind == "linear") return linspace(spec.beta_start, spec.beta_end, spec.steps);
  if (spec.kind == "scaled_linear")
    return linspace(std::sqrt(spec.beta_start), std::sqrt(spec.beta_end), spec.steps).square();
  if (spec.kind == "sigmoid")
    return at::sigmoid(linspace(-6, 6, spec.steps)) * (spec.beta_end - spec.beta_start) + spec.beta_start;
  throw ModelError(unknown_name("schedule kind", spec.kind, schedule_kinds()));
}

std::vector<float> to_vector(const at::Tensor& tensor) {
  const at::Tensor values = tensor.contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

}  // namespace

const std::vector<std::string>& schedule_kinds() {
  static const std::vector<std::string> kinds = {"linear", "scaled_linear", "cosine", "sigmoid", "trained"};
  return kinds;
}

NoiseSchedule::NoiseSchedule(const ScheduleSpec& spec) {
  at::Tensor betas = make_betas(spec);
  if (spec.zero_terminal_snr) betas = zero_terminal_snr(betas);
  betas_ = to_vector(betas);
  alphas_cumprod_ = to_vector(at::cumprod(1.0 - betas, 0));
}

Level NoiseSchedule::at(int64_t t) const {
  const double alpha_bar = alphas_cumprod_.at(static_cast<size_t>(t));
  return {std::sqrt(alpha_bar), std::sqrt(1 - alpha_bar), static_cast<double>(t)};
}

}  // namespace darkroom
