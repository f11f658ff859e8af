#include "diffusion/sigma_curves.h"

#include <cmath>

namespace darkroom {
namespace {

// f(0) .. f(1) in equal steps; one step alone is f(0).
template <class Function>
std::vector<double> evenly(int64_t steps, Function f) {
  std::vector<double> values;
  for (int64_t i = 0; i < steps; ++i)
    values.push_back(f(steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(steps - 1)));
  return values;
}

}  // namespace

std::vector<double> karras_sigmas(const SigmaRange& range) {
  const double rho = range.rho.value_or(7);
  const double high = std::pow(range.high, 1 / rho), low = std::pow(range.low, 1 / rho);
  return evenly(range.steps, [&](double u) { return std::pow(high + u * (low - high), rho); });
}

std::vector<double> exponential_sigmas(const SigmaRange& range) {
  const double high = std::log(range.high), low = std::log(range.low);
  return evenly(range.steps, [&](double u) { return std::exp(high + u * (low - high)); });
}

std::vector<double> polyexponential_sigmas(const SigmaRange& range) {
  const double rho = range.rho.value_or(1), high = std::log(range.high), low = std::log(range.low);
  return evenly(range.steps, [&](double u) { return std::exp(low + std::pow(1 - u, rho) * (high - low)); });
}

std::vector<double> normal_sigmas(const SigmaRange& range) {
  const double high = range.schedule.timestep_of(range.high), low = range.schedule.timestep_of(range.low);
  return evenly(range.steps, [&](double u) {
    return range.schedule.sigma_at(high + u * (low - high), Interpolation::log_linear);
  });
}

std::vector<double> sgm_uniform_sigmas(const SigmaRange& range) {
  SigmaRange longer = range;
  ++longer.steps;
  std::vector<double> sigmas = normal_sigmas(longer);
  sigmas.pop_back();
  return sigmas;
}

std::vector<double> simple_sigmas(const SigmaRange& range) {
  const std::vector<float>& trained = range.schedule.sigmas();
  const double stride = static_cast<double>(trained.size()) / static_cast<double>(range.steps);
  std::vector<double> sigmas;
  for (int64_t i = 0; i < range.steps; ++i)
    sigmas.push_back(trained[trained.size() - 1 - static_cast<size_t>(static_cast<double>(i) * stride)]);
  return sigmas;
}

}  // namespace darkroom
