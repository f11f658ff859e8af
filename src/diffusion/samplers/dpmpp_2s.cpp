#include <ATen/ATen.h>

#include <algorithm>

#include "diffusion/samplers/exponential.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Steps come in groups of 1, 2, ... `order`, each from the group's start; the walk ends with a group's first.
size_t place_in_group(const StepContext& context, size_t order) {
  const size_t count = context.walk.steps.size();
  const bool closes = context.options.lower_order_final && count % order == 0;
  if (context.left() == 1 && (closes || context.step().to.sigma == 0)) return 1;
  return context.index % order + 1;
}

std::vector<double> group_weights(const StepContext& context, size_t place, double h) {
  const bool heun = context.options.solver_type == SolverType::heun;
  const size_t base = place - 1;
  const auto node = [&](size_t k) {
    return (log_snr(context.history[k].level) - log_snr(context.history[base].level)) / h;
  };
  Moments m = moments(h);
  if (heun && place == 3) return weights_at({node(0), node(1), 0}, m);
  if (!heun && place == 2) m[1] = m[0] / 2;
  std::vector<double> weights(place);
  const std::vector<double> ends = weights_at({node(0), 0}, m);
  weights.front() = ends.front(), weights.back() = ends.back();
  return weights;
}

// Lu et al. 2211.01095, algorithm 1 (2S), and its third order, as diffusers' DPMSolverSinglestepScheduler
// spreads them over the walk: one call a step. Started in the middle of a group, it takes what there is.
at::Tensor dpmpp_2s(const at::Tensor& x, StepContext& context) {
  const Level& to = context.step().to;
  context.evaluate(x);
  const size_t place =
      std::min(place_in_group(context, solver_order(context.options, 2)), distinct(context.history));
  if (place == 1) return integrate_x0(context.history, {0}, to);
  const size_t base = place - 1;
  const double h = log_snr(to) - log_snr(context.history[base].level);
  return integrate_x0(context.history, group_weights(context, place, h), to, base);
}

}  // namespace

SamplerInfo dpmpp_2s_row() {
  return {.name = "dpm++2s",
          .aliases = {"DPMSolverSinglestepScheduler", "DPM++ 2S"},
          .summary = "every second step starts again from the one before with what it learned",
          .source = "Lu et al. 2211.01095, alg. 1; diffusers DPMSolverSinglestepScheduler",
          .order = 2,
          .grid = Grid::multistep,
          .memory = 2,
          .options = {"solver-order", "solver-type"},
          .solver_types = {SolverType::midpoint, SolverType::heun},
          .highest_order = 3,
          .step = dpmpp_2s};
}

}  // namespace darkroom
