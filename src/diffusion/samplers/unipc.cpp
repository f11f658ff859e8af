#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/samplers/exponential.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// B(h) of the paper matters only where a single weight is left to choose.
Moments unified_moments(const SamplerOptions& options, size_t nodes, double h) {
  Moments m = moments(h);
  if (nodes == 2) m[1] = (options.solver_type == SolverType::bh1 ? h : m[0]) / 2;
  return m;
}

std::vector<double> predictor(const StepContext& context, size_t first, size_t order, double h) {
  return weights_at(nodes(context.history, first, order, h), unified_moments(context.options, order, h));
}

// The order of the step `left` steps before the end, which saw `answers`.
size_t predictor_order(const StepContext& context, size_t left, size_t answers) {
  const size_t order = std::min(solver_order(context.options, 2), answers);
  return context.options.lower_order_final ? std::min(order, left) : order;
}

bool corrects(const StepContext& context) {
  const auto& off = context.options.disable_corrector;
  return distinct(context.history) > 1 && std::ranges::find(off, context.index - 1) == off.end();
}

// What the step before would have added had it known the newest answer, which lies at its end.
std::vector<double> correction(const StepContext& context) {
  const History& history = context.history;
  const size_t order = predictor_order(context, context.left() + 1, distinct(history) - 1);
  const double h = log_snr(history[0].level) - log_snr(history[1].level);
  std::vector<double> at = nodes(history, 1, order, h);
  at.insert(at.begin(), 1);
  std::vector<double> w = weights_at(at, unified_moments(context.options, at.size(), h));
  const std::vector<double> predicted = predictor(context, 1, order, h);
  for (size_t k = 0; k < order; ++k) w[k + 1] -= predicted[k];
  return w;
}

// Zhao et al. 2302.04867, algorithms 5 to 8. The correction of the step before reaches this step's end as
// little of it as stays of x: exp(-h).
at::Tensor unipc(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  context.evaluate(x);
  const double h = log_snr(to) - log_snr(at);
  const bool short_of_order = to.sigma == 0 || h == 0;
  const size_t order =
      short_of_order ? 1 : predictor_order(context, context.left(), distinct(context.history));
  std::vector<double> weights = predictor(context, 0, order, h);
  if (corrects(context)) {
    const std::vector<double> late = correction(context);
    weights.resize(std::max(weights.size(), late.size()));
    for (size_t k = 0; k < late.size(); ++k) weights[k] += std::exp(-h) * late[k];
  }
  return integrate_x0(context.history, weights, to);
}

}  // namespace

SamplerInfo unipc_row() {
  return {.name = "unipc",
          .aliases = {"UniPCMultistepScheduler", "uni_pc", "UniPC"},
          .summary = "corrects each step with the next one's answer; good from 8 steps on",
          .source = "Zhao et al. 2302.04867; diffusers UniPCMultistepScheduler",
          .order = 2,
          .grid = Grid::multistep,
          .flow_from_one = true,
          .memory = 3,
          .options = {"solver-order", "solver-type", "lower-order-final"},
          .solver_types = {SolverType::bh2, SolverType::bh1},
          .highest_order = 3,
          .step = unipc};
}

}  // namespace darkroom
