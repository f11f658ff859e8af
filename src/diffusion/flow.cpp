#include "darkroom/diffusion/flow.h"

#include <algorithm>
#include <cmath>

#include "darkroom/base/error.h"
#include "diffusion/lists.h"

namespace darkroom {
namespace {

double shifted(const FlowSchedule& schedule, double u) {
  return schedule.shift * u / (1 + (schedule.shift - 1) * u);
}

// Of u, before the shift. Written as numpy's linspace computes it, on whose last place the whole timestep
// that diffusers tells the network depends.
double evenly(double first, double last, int64_t i, int64_t intervals) {
  if (intervals == 0) return first;
  return i == intervals ? last
                        : static_cast<double>(i) * ((last - first) / static_cast<double>(intervals)) + first;
}

std::vector<double> even_grid(const FlowSchedule& schedule, const WalkOptions& options) {
  const bool diffusers = options.convention == Convention::diffusers;
  const bool multistep = options.grid == Grid::multistep && diffusers;
  double lowest = 1 / static_cast<double>(schedule.steps);
  // diffusers shifts the lowest trained sigma once more with the rest of the grid (its issue #13243).
  if (schedule.trained_shifted && diffusers && !multistep) lowest = shifted(schedule, lowest);
  std::vector<double> grid;
  for (int64_t i = 0; i < options.steps; ++i) {
    if (multistep && !options.flow_from_one)
      grid.push_back(1 - evenly(1, lowest, options.steps - i, options.steps));
    else
      grid.push_back(evenly(1, lowest, i, multistep ? options.steps : options.steps - 1));
  }
  return grid;
}

void stretch(std::vector<double>& sigmas, double terminal) {
  const double scale = (1 - sigmas.back()) / (1 - terminal);
  for (double& sigma : sigmas) sigma = 1 - (1 - sigma) / scale;
}

// diffusers' UniPC draws curves in sigma / (1 - sigma), from ends that a person gives.
std::vector<double> ratio_curve(const WalkOptions& options) {
  if (!options.sigma_min || !options.sigma_max)
    throw UsageError("schedule '" + std::string(options.spacing->name) +
                     "' needs --sigma-min and --sigma-max for this sampler on rectified flow");
  std::vector<double> sigmas = options.spacing->curve(
      {.high = *options.sigma_max, .low = *options.sigma_min, .steps = options.steps, .rho = options.rho});
  for (double& sigma : sigmas) sigma /= 1 + sigma;
  return sigmas;
}

std::vector<double> sigmas_of(const FlowSchedule& schedule, const WalkOptions& options) {
  const SpacingInfo& spacing = *options.spacing;
  const bool curve = spacing.curve && !spacing.reads("sigmas");
  if (curve && options.flow_from_one) return ratio_curve(options);
  std::vector<double> sigmas = even_grid(schedule, options);
  if (spacing.reads("timesteps")) {
    check_list("--timesteps", options.timesteps, 0, static_cast<double>(schedule.steps));
    sigmas = options.timesteps;
    for (double& sigma : sigmas) sigma /= static_cast<double>(schedule.steps);
  } else if (spacing.reads("sigmas")) {
    check_list("--sigmas", options.sigmas, 0, 1);
    sigmas = options.sigmas;
  }
  for (double& sigma : sigmas) sigma = shifted(schedule, sigma);
  if (schedule.terminal && sigmas.size() > 1) stretch(sigmas, *schedule.terminal);
  if (!curve) return sigmas;
  for (const std::optional<double>& end : {options.sigma_min, options.sigma_max})
    if (end.value_or(0) > 1)
      throw UsageError("--sigma-min and --sigma-max of rectified flow are shares of noise, 0 to 1");
  return spacing.curve({.high = options.sigma_max.value_or(sigmas.front()),
                        .low = options.sigma_min.value_or(sigmas.back()),
                        .steps = options.steps,
                        .rho = options.rho});
}

void check_spacing(const SpacingInfo& spacing) {
  if (spacing.timesteps || (spacing.curve && spacing.needs_trained))
    throw UsageError(
        "schedule '" + std::string(spacing.name) +
        "' is made of trained noise levels, which this model's rectified flow does not have; use "
        "the schedule 'flow'");
}

}  // namespace

FlowSchedule make_flow_schedule(const FlowSpec& spec, int64_t train_steps, int64_t rows, int64_t columns,
                                std::optional<double> shift) {
  if (shift || !spec.dynamic) return {train_steps, shift.value_or(spec.shift), true, spec.terminal};
  const FlowSpec::Dynamic& dynamic = *spec.dynamic;
  const auto length = static_cast<double>((rows / dynamic.patch) * (columns / dynamic.patch));
  const double slope = (dynamic.max_shift - dynamic.base_shift) / (dynamic.max_length - dynamic.base_length);
  const double mu = dynamic.base_shift + slope * (length - dynamic.base_length);
  return {train_steps, dynamic.exponential ? std::exp(mu) : mu, false, spec.terminal};
}

Walk build_walk(const FlowSchedule& schedule, const WalkOptions& options) {
  check_spacing(*options.spacing);
  if (options.grid == Grid::trained)
    throw UsageError("this sampler walks trained timesteps, which a rectified flow model does not have");
  const auto total = static_cast<double>(schedule.steps);
  const bool truncates = options.grid == Grid::multistep && options.convention == Convention::diffusers;
  std::vector<double> sigmas = sigmas_of(schedule, options);
  check_descent(sigmas, options);
  // UniPC takes log alpha at its start.
  if (options.flow_from_one && sigmas.front() > 1 - 1e-6) sigmas.front() -= 1e-6;

  Walk walk;
  for (const double sigma : sigmas) {
    const double timestep = truncates ? std::trunc(sigma * total) : sigma * total;
    if (!walk.steps.empty()) walk.steps.back().to = {1 - sigma, sigma, timestep};
    walk.steps.push_back({{1 - sigma, sigma, timestep}, {}});
  }
  // diffusers tells the network the timesteps of a list as they are, and shifts the noise levels alone.
  if (options.spacing->reads("timesteps"))
    for (size_t i = 0; i < sigmas.size(); ++i) walk.steps[i].at.timestep = options.timesteps[i];
  const double final = options.final == Final::zero ? 0 : sigmas.back();
  walk.steps.back().to = {1 - final, final, 0};
  walk.level_at = [total](double ratio) {
    const double sigma = std::isinf(ratio) ? 1 : ratio / (1 + ratio);
    return Level{1 - sigma, sigma, sigma * total};
  };
  walk.at_timestep = [total](double t) {
    const double sigma = std::clamp(t / total, 0.0, 1.0);
    return Level{1 - sigma, sigma, t};
  };
  return walk;
}

}  // namespace darkroom
