#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Dormand & Prince 1980, RK5(4)7M. Row i leads to where slope i + 1 is taken; the last row is the step of
// order 5, whose end gives the next step's first slope.
constexpr std::array<std::array<double, 6>, 6> kRows = {
    {{1. / 5},
     {3. / 40, 9. / 40},
     {44. / 45, -56. / 15, 32. / 9},
     {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
     {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
     {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84}}};
constexpr std::array<double, 6> kNodes = {1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1};
// The step of order 5 less the one of order 4.
constexpr std::array<double, 7> kError = {71. / 57600,      0,         -71. / 16695, 71. / 1920,
                                          -17253. / 339200, 22. / 525, -1. / 40};

at::Tensor combine(at::Tensor sum, const std::vector<at::Tensor>& slopes, std::span<const double> weights,
                   double h) {
  for (size_t i = 0; i < std::min(slopes.size(), weights.size()); ++i)
    if (weights[i] != 0) sum.add_(slopes[i], h * weights[i]);
  return sum;
}

// Root mean square over what is tolerated (Hairer, Norsett & Wanner, II.4): at most 1 is good enough. The one
// read of tensor data in an attempted step.
double error_of(const at::Tensor& y, const at::Tensor& end, const at::Tensor& difference,
                const SamplerOptions& options) {
  const at::Tensor tolerated = at::maximum(y.abs(), end.abs()).mul_(options.rtol).add_(options.atol);
  return std::sqrt((difference / tolerated).square_().mean().item<double>());
}

// Song et al. 2011.13456, eq. 13, in y = x / alpha over r = sigma / alpha, where it reads dy/dr = eps.
at::Tensor integrate(at::Tensor y, double r, double to, const StepContext& context) {
  const auto slope = [&](const at::Tensor& point, double ratio) {
    const Level level = context.walk.level_at(ratio);
    return context.denoise(point * level.alpha, level).eps;
  };
  std::vector<at::Tensor> slopes = {slope(y, r)};
  double size = r / 2;  // of the first attempt: seldom too far
  while (r > to) {
    const bool last = size >= r - to;
    const double h = last ? to - r : -size;
    at::Tensor end;
    for (size_t i = 0; i < kRows.size(); ++i) {
      end = combine(y.clone(), slopes, kRows[i], h);
      slopes.push_back(slope(end, r + kNodes[i] * h));
    }
    const at::Tensor difference = combine(at::zeros_like(y), slopes, kError, h);
    const double error = error_of(y, end, difference, context.options);
    if (!std::isfinite(error)) return end;  // not finite either, which the caller finds
    if (error <= 1) {
      y = end;
      r = last ? to : r + h;
      slopes.front() = slopes.back();
    }
    slopes.resize(1);
    size = -h * std::clamp(0.9 * std::pow(error, -0.2), 0.2, 10.0);
  }
  return y;
}

// A last step to no noise integrates to the least the model was trained on, and asks for x0 there.
at::Tensor ode(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const Level end = to.sigma == 0 ? context.walk.at_timestep(0) : to;
  const double from = noise_ratio(at), until = std::min(from, noise_ratio(end));
  const at::Tensor there = integrate(x / at.alpha, from, until, context).mul_(end.alpha);
  return to.sigma == 0 ? jump(context.denoise(there, end), to) : there;
}

}  // namespace

SamplerInfo ode_row() {
  return {.name = "ode",
          .aliases = {"probability_flow", "rk45", "dopri5"},
          .summary = "where every deterministic sampler tends, to --rtol; fewer --steps cost fewer calls",
          .source = "Song et al. 2011.13456, section 4.3; Dormand & Prince 1980",
          .order = 5,
          .adaptive = true,
          .calls = 0,
          .grid = Grid::sigma,
          .options = {"rtol", "atol"},
          .step = ode};
}

}  // namespace darkroom
