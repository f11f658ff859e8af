#include "darkroom/diffusion/walk.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

struct ConventionName {
  std::string_view name;
  std::vector<std::string_view> aliases;
  Convention convention;
};
const std::array<ConventionName, 2>& conventions() {
  static const std::array<ConventionName, 2> table = {
      ConventionName{"diffusers", {}, Convention::diffusers},
      ConventionName{"k", {"k-diffusion", "a1111", "comfyui"}, Convention::k}};
  return table;
}

Level exploding(double ratio, double timestep) { return {1, ratio, timestep}; }

Level preserving(double ratio, double timestep) {
  const double alpha = 1 / std::sqrt(1 + ratio * ratio);
  return {alpha, ratio * alpha, timestep};
}

double rounded(double timestep, Rounding rounding) {
  if (rounding == Rounding::nearest) return std::nearbyint(timestep);
  return rounding == Rounding::down ? std::trunc(timestep) : timestep;
}

// Levels between the grid's, whose timesteps no reference rounds.
std::function<Level(double)> levels_between(const NoiseSchedule& schedule, Level (*level)(double, double)) {
  return [schedule, level](double ratio) { return level(ratio, schedule.timestep_of(ratio)); };
}

std::vector<double> trained_timesteps(const NoiseSchedule& schedule, const WalkOptions& options) {
  if (options.grid == Grid::consistency)
    return consistency_timesteps(schedule.size(), options.original_steps, options.steps);
  return spaced_timesteps(*options.spacing->timesteps, options.grid, schedule.size(), options.steps,
                          options.steps_offset);
}

// DDPM, DDIM, PNDM and consistency models: trained timesteps with their exact levels.
Walk trained_walk(const NoiseSchedule& schedule, const WalkOptions& options) {
  if (!options.spacing->timesteps)
    throw UsageError(
        "schedule '" + std::string(options.spacing->name) +
        "' chooses noise levels between the trained timesteps, which this sampler does not visit; "
        "use leading, trailing or linspace");
  const std::vector<double> timesteps = trained_timesteps(schedule, options);
  const auto level = [&](double t) { return schedule.at(static_cast<int64_t>(t)); };
  const Level final = options.final == Final::zero ? Level{1, 0, 0} : schedule.at(0);
  Walk walk;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    double previous = timesteps[i] - static_cast<double>(schedule.size() / options.steps);
    if (options.previous == Previous::next) previous = i + 1 < timesteps.size() ? timesteps[i + 1] : -1;
    walk.steps.push_back({level(timesteps[i]), previous < 0 ? final : level(previous)});
  }
  walk.level_at = levels_between(schedule, preserving);
  walk.at_timestep = [schedule](double t) {
    return schedule.at(std::clamp<int64_t>(std::llround(t), 0, schedule.size() - 1));
  };
  return walk;
}

// The noise levels of all other grids, and the timesteps the network is told there.
struct Points {
  std::vector<double> sigmas, timesteps;
};

SigmaRange range_of(const NoiseSchedule& schedule, const WalkOptions& options) {
  const bool spaced_ends = options.grid == Grid::sigma && options.convention == Convention::diffusers;
  if (!spaced_ends)
    return {schedule.sigmas().back(), schedule.sigmas().front(), options.steps, schedule, options.rho};
  const std::vector<double> base =
      spaced_timesteps(options.base, options.grid, schedule.size(), options.steps, options.steps_offset);
  return {schedule.sigma_at(base.front(), Interpolation::linear),
          schedule.sigma_at(base.back(), Interpolation::linear), options.steps, schedule, options.rho};
}

Rounding rounding_of(const WalkOptions& options) {
  if (options.convention != Convention::diffusers) return Rounding::none;
  if (options.grid == Grid::multistep) return options.spacing->rounding;
  const bool karras = options.rounds_karras && options.spacing->rounding == Rounding::nearest;
  return karras ? Rounding::nearest : Rounding::none;
}

// Too many steps for a curve that takes or rounds to trained levels: a step of no length divides by zero.
void check_descent(const std::vector<double>& sigmas, const WalkOptions& options) {
  for (size_t i = 1; i < sigmas.size(); ++i)
    if (sigmas[i] >= sigmas[i - 1])
      throw UsageError(std::to_string(options.steps) + " steps are too many for the schedule '" +
                       std::string(options.spacing->name) + "': two would start at the same noise level");
}

Interpolation interpolation_of(const WalkOptions& options) {
  return options.convention == Convention::k ? Interpolation::log_linear : Interpolation::linear;
}

Points points_of(const NoiseSchedule& schedule, const WalkOptions& options) {
  Points points;
  if (options.spacing->timesteps) {
    const Interpolation between = interpolation_of(options);
    points.timesteps = spaced_timesteps(*options.spacing->timesteps, options.grid, schedule.size(),
                                        options.steps, options.steps_offset);
    for (const double t : points.timesteps) points.sigmas.push_back(schedule.sigma_at(t, between));
    return points;
  }
  points.sigmas = options.spacing->curve(range_of(schedule, options));
  check_descent(points.sigmas, options);
  for (const double sigma : points.sigmas)
    points.timesteps.push_back(rounded(schedule.timestep_of(sigma), rounding_of(options)));
  return points;
}

Walk sigma_walk(const NoiseSchedule& schedule, const WalkOptions& options) {
  const bool explodes = options.grid == Grid::sigma || options.convention == Convention::k;
  const auto level = explodes ? exploding : preserving;
  const Points points = points_of(schedule, options);
  Walk walk;
  for (size_t i = 0; i < points.sigmas.size(); ++i)
    walk.steps.push_back({level(points.sigmas[i], points.timesteps[i]), {}});
  for (size_t i = 0; i + 1 < walk.steps.size(); ++i) walk.steps[i].to = walk.steps[i + 1].at;
  walk.steps.back().to = level(options.final == Final::zero ? 0 : schedule.sigmas().front(), 0);

  const double start = points.sigmas.front();
  const bool leading =
      (options.spacing->timesteps ? *options.spacing->timesteps : options.base) == Spacing::leading;
  const bool unit_variance = leading && options.convention == Convention::diffusers;
  if (explodes) walk.init_scale = unit_variance ? std::hypot(start, 1) : start;
  walk.level_at = levels_between(schedule, level);
  const Interpolation between = interpolation_of(options);
  walk.at_timestep = [schedule, level, between](double t) { return level(schedule.sigma_at(t, between), t); };
  return walk;
}

}  // namespace

std::vector<std::string> convention_names() { return names_of(conventions()); }

Convention find_convention(std::string_view name) {
  return find_row<UsageError>("convention", name, conventions()).convention;
}

Walk build_walk(const NoiseSchedule& schedule, const WalkOptions& options) {
  const bool trained = options.grid == Grid::trained || options.grid == Grid::consistency;
  return trained ? trained_walk(schedule, options) : sigma_walk(schedule, options);
}

Walk at_once(Walk walk) {
  const Step last = walk.steps.back();
  const Step whole = {walk.steps.front().at, last.to.sigma > 0 ? last.to : last.at};
  if (whole.at.sigma == whole.to.sigma)
    throw UsageError(
        "one step has no two levels between which this sampler could choose its own; give 2 or more");
  walk.steps = {whole};
  return walk;
}

}  // namespace darkroom
