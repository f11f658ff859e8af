#include "diffusion/samplers/exponential.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/samplers/ode.h"

namespace darkroom {

double log_snr(const Level& level) { return -std::log(noise_ratio(level)); }

// By parts, m_j = 1 - j m_(j-1) / h. Short steps cancel there; backwards, the error of an arbitrary start
// shrinks with every step.
Moments moments(double h) {
  Moments m{-std::expm1(-h)};
  if (std::abs(h) >= 1) {
    for (size_t j = 1; j < m.size(); ++j) m[j] = 1 - static_cast<double>(j) * m[j - 1] / h;
    return m;
  }
  double later = 0;
  for (size_t j = 20; j > 1; --j) {
    later = h * (1 - later) / static_cast<double>(j);
    if (j <= m.size()) m[j - 1] = later;
  }
  return m;
}

// Bjorck & Pereyra, Math. Comp. 24 (1970): the Vandermonde system, solved in place.
std::vector<double> weights_at(const std::vector<double>& nodes, const Moments& moments) {
  const size_t n = nodes.size();
  std::vector<double> w(moments.begin(), moments.begin() + static_cast<ptrdiff_t>(n));
  w[0] = 0;
  for (size_t k = 0; k + 1 < n; ++k)
    for (size_t i = n - 1; i > k; --i) w[i] -= nodes[k] * w[i - 1];
  for (size_t k = n - 1; k-- > 0;) {
    for (size_t i = k + 1; i < n; ++i) w[i] /= nodes[i] - nodes[i - k - 1];
    for (size_t i = k; i + 1 < n; ++i) w[i] -= w[i + 1];
  }
  return w;
}

std::vector<double> nodes(const History& history, size_t first, size_t count, double h) {
  std::vector<double> at;
  for (size_t k = first; k < first + count; ++k)
    at.push_back((log_snr(history[k].level) - log_snr(history[first].level)) / h);
  return at;
}

size_t distinct(const History& history) {
  size_t count = 1;
  while (count < history.size() && history[count].level.alpha > 0 &&
         log_snr(history[count].level) < log_snr(history[count - 1].level))
    ++count;
  return count;
}

size_t solver_order(const SamplerOptions& options, size_t own) {
  return options.order > 0 ? static_cast<size_t>(options.order) : own;
}

size_t multistep_order(const StepContext& context, size_t order) {
  const auto& [at, to] = context.step();
  const bool lowers = context.options.lower_order_final && context.walk.steps.size() < 15;
  if (to.sigma == 0 || log_snr(to) == log_snr(at)) return 1;
  if (context.left() == 1 && context.options.euler_at_final) return 1;
  if (lowers) order = std::min(order, context.left());
  return std::min(order, distinct(context.history));
}

at::Tensor integrate_x0(const History& history, const std::vector<double>& weights, const Level& to,
                        size_t base) {
  at::Tensor next = jump(history[base].prediction, {to.alpha * (1 + weights[base]), to.sigma, to.timestep});
  for (size_t k = 0; k < weights.size(); ++k)
    if (k != base && weights[k] != 0) next.add_(history[k].prediction.x0, to.alpha * weights[k]);
  return next;
}

at::Tensor integrate_eps(const History& history, const std::vector<double>& weights, const Level& to) {
  at::Tensor next = jump(history[0].prediction, {to.alpha, to.sigma * (1 + weights[0]), to.timestep});
  for (size_t k = 1; k < weights.size(); ++k) next.add_(history[k].prediction.eps, to.sigma * weights[k]);
  return next;
}

}  // namespace darkroom
