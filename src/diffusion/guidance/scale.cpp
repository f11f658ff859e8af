#include <array>
#include <cmath>
#include <numbers>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "darkroom/diffusion/guidance.h"
#include "diffusion/guidance/step_of.h"

namespace darkroom {
namespace {

struct ScaleScheduleName {
  std::string_view name;
  ScaleSchedule schedule;
};
constexpr std::array kScaleSchedules = {
    ScaleScheduleName{"constant", ScaleSchedule::constant},
    ScaleScheduleName{"linear", ScaleSchedule::linear},
    ScaleScheduleName{"cosine", ScaleSchedule::cosine},
};

double scale_at(const ScaleOptions& options, double u) {
  switch (options.schedule) {
    case ScaleSchedule::linear:
      return 1 + (options.scale - 1) * 2 * (1 - u);
    case ScaleSchedule::cosine:
      return 1 + (options.scale - 1) * (1 + std::cos(std::numbers::pi * u));
    case ScaleSchedule::constant:
      break;
  }
  return options.scale;
}

}  // namespace

std::vector<std::string> scale_schedule_names() { return names_of(kScaleSchedules); }

ScaleSchedule find_scale_schedule(std::string_view name) {
  return find_row<UsageError>("guidance schedule", name, kScaleSchedules).schedule;
}

int64_t step_of(const Walk& walk, const Level& level) {
  // sigma / alpha falls along a walk; multiplied out, as alpha may be 0. A sampler that looks a grid point up
  // by its sigma may miss it by a rounding error.
  const auto starts_no_less_noisy = [&](const Step& step) {
    return step.at.sigma * level.alpha >= level.sigma * step.at.alpha * (1 - 1e-6);
  };
  int64_t found = 0;
  for (size_t i = 0; i < walk.steps.size() && starts_no_less_noisy(walk.steps[i]); ++i)
    found = static_cast<int64_t>(i);
  return found;
}

GuidanceScale scale_over(const Walk& walk, const ScaleOptions& options) {
  const auto steps = static_cast<double>(walk.steps.size());
  const auto first = static_cast<int64_t>(options.start * steps),
             end = static_cast<int64_t>(options.stop * steps);
  return [walk, options, first, end](const Level& level) -> std::optional<double> {
    const int64_t step = step_of(walk, level);
    if (step < first || step >= end) return std::nullopt;
    const double scale = scale_at(options, level.timestep / static_cast<double>(options.train_steps));
    if (scale <= 1 && !options.cfg_pp) return std::nullopt;
    return scale;
  };
}

}  // namespace darkroom
