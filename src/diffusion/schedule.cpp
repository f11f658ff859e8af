#include "darkroom/diffusion/schedule.h"

#include <ATen/ATen.h>

#include <algorithm>
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
  const at::Tensor alphas_cumprod = at::cumprod(1.0 - betas, 0);
  alphas_cumprod_ = to_vector(alphas_cumprod);
  const at::Tensor with_signal = alphas_cumprod.where(alphas_cumprod > 0, std::exp2(-24.0));
  const at::Tensor sigmas = ((1 - with_signal) / with_signal).sqrt();
  sigmas_ = to_vector(sigmas);
  log_sigmas_ = to_vector(sigmas.log());
}

Level NoiseSchedule::at(int64_t t) const {
  const double alpha_bar = alphas_cumprod_.at(static_cast<size_t>(t));
  return {std::sqrt(alpha_bar), std::sqrt(1 - alpha_bar), static_cast<double>(t)};
}

double NoiseSchedule::sigma_at(double timestep, Interpolation interpolation) const {
  const double within = std::clamp(timestep, 0.0, static_cast<double>(size() - 1));
  const auto low = static_cast<size_t>(within), high = std::min(low + 1, sigmas_.size() - 1);
  const double weight = within - static_cast<double>(low);
  if (interpolation == Interpolation::linear) return std::lerp(sigmas_[low], sigmas_[high], weight);
  return std::exp(std::lerp(static_cast<double>(log_sigmas_[low]), log_sigmas_[high], weight));
}

double NoiseSchedule::timestep_of(double sigma) const {
  const double log_sigma = std::log(std::max(sigma, 1e-10));
  const auto above = std::upper_bound(log_sigmas_.begin(), log_sigmas_.end(), log_sigma);
  const auto found = std::max<int64_t>(0, above - log_sigmas_.begin() - 1);
  const auto low = static_cast<size_t>(std::min(found, std::max<int64_t>(0, size() - 2)));
  const size_t high = std::min(low + 1, log_sigmas_.size() - 1);
  if (low == high) return 0;
  const double span = static_cast<double>(log_sigmas_[high]) - log_sigmas_[low];
  return static_cast<double>(low) + std::clamp((log_sigma - log_sigmas_[low]) / span, 0.0, 1.0);
}

}  // namespace darkroom
