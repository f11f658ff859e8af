#include "diffusion/sigma_curves.h"

#include <algorithm>
#include <cmath>

#include "darkroom/base/error.h"

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

// The x below which Beta(a, a) has the probability p. Newton's method on the power series of the incomplete
// beta function (DLMF 8.17.7), which converges fast for x up to 1/2; symmetry gives the rest.
double symmetric_beta_quantile(double p, double a) {
  if (p > 0.5) return 1 - symmetric_beta_quantile(1 - p, a);
  if (p == 0) return 0;
  const double complete = std::exp(2 * std::lgamma(a) - std::lgamma(2 * a));
  double x = std::pow(p * a * complete, 1 / a);
  for (int iteration = 0; iteration < 8; ++iteration) {
    double sum = 0, term = 1;
    for (int n = 0; n < 80; ++n) {
      sum += term / (a + n);
      term *= (1 - a + n) / (n + 1) * x;
    }
    const double probability = std::pow(x, a) / complete * sum;
    const double density = std::pow(x * (1 - x), a - 1) / complete;
    x -= (probability - p) / density;
  }
  return x;
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
  const double high = range.schedule->timestep_of(range.high), low = range.schedule->timestep_of(range.low);
  return evenly(range.steps, [&](double u) {
    return range.schedule->sigma_at(high + u * (low - high), Interpolation::log_linear);
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
  const std::vector<float>& trained = range.schedule->sigmas();
  const double stride = static_cast<double>(trained.size()) / static_cast<double>(range.steps);
  std::vector<double> sigmas;
  for (int64_t i = 0; i < range.steps; ++i)
    sigmas.push_back(trained[trained.size() - 1 - static_cast<size_t>(static_cast<double>(i) * stride)]);
  return sigmas;
}

// With a step count that does not divide T the stride fits in once more, and there is a step more than asked
// for, as upstream.
std::vector<double> ddim_uniform_sigmas(const SigmaRange& range) {
  const std::vector<float>& trained = range.schedule->sigmas();
  const size_t stride = std::max<size_t>(trained.size() / static_cast<size_t>(range.steps), 1);
  std::vector<double> sigmas;
  for (size_t t = 1; t < trained.size(); t += stride) sigmas.insert(sigmas.begin(), trained[t]);
  return sigmas;
}

std::vector<double> kl_optimal_sigmas(const SigmaRange& range) {
  const double high = std::atan(range.high), low = std::atan(range.low);
  return evenly(range.steps + 1, [&](double u) { return std::tan(u * low + (1 - u) * high); });
}

std::vector<double> beta_sigmas(const SigmaRange& range) {
  return evenly(range.steps, [&](double u) {
    return range.low + symmetric_beta_quantile(1 - u, 0.6) * (range.high - range.low);
  });
}

// The constant keeps the logarithm finite at both ends, which are then cut to the range.
std::vector<double> laplace_sigmas(const SigmaRange& range) {
  constexpr double kScale = 0.5, kAboveZero = 1e-5;
  return evenly(range.steps, [&](double u) {
    const double tail = kScale * std::log(1 - 2 * std::abs(0.5 - u) + kAboveZero);
    return std::clamp(std::exp(u < 0.5 ? -tail : u > 0.5 ? tail : 0), range.low, range.high);
  });
}

// In the noise removed so far, 0 to 1: linear to 0.025 over half the steps, then the parabola that goes on
// with the same slope and reaches 1 after the last.
std::vector<double> linear_quadratic_sigmas(const SigmaRange& range) {
  constexpr double kThreshold = 0.025;
  const auto steps = static_cast<double>(range.steps), linear = std::floor(steps / 2), rest = steps - linear;
  const double slope = kThreshold / linear, bend = (1 - kThreshold - slope * rest) / (rest * rest);
  std::vector<double> sigmas = {range.high};
  for (double i = 1; i < steps; ++i) {
    const double beyond = std::max(i - linear, 0.0);
    sigmas.push_back(range.high * (1 - slope * i - bend * beyond * beyond));
  }
  return sigmas;
}

std::vector<double> aligned_sigmas(const SigmaRange& range) {
  const std::span<const double> table = range.aligned;
  if (table.empty())
    throw UsageError(
        "this model brings no align-your-steps levels (align_your_steps in model.json); use another "
        "schedule");
  std::vector<double> sigmas = evenly(range.steps + 1, [&](double u) {
    const double place = u * static_cast<double>(table.size() - 1);
    const size_t low = std::min(static_cast<size_t>(place), table.size() - 2);
    return std::exp(
        std::lerp(std::log(table[low]), std::log(table[low + 1]), place - static_cast<double>(low)));
  });
  sigmas.pop_back();
  return sigmas;
}

std::vector<double> listed_sigmas(const SigmaRange& range) {
  return {range.listed.begin(), range.listed.end()};
}

}  // namespace darkroom
