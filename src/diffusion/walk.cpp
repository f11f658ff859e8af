#include "darkroom/diffusion/walk.h"

#include <cmath>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

// numpy's arange fills with the difference of its first two entries, which rounding can make differ from the
// step asked for; the list has one entry too many for some N there, which is why this makes exactly N.
std::vector<int64_t> trailing_timesteps(int64_t train_steps, int64_t steps) {
  const double start = static_cast<double>(train_steps);
  const double delta = (start - start / static_cast<double>(steps)) - start;
  std::vector<int64_t> timesteps;
  for (int64_t i = 0; i < steps; ++i)
    timesteps.push_back(std::llrint(start + static_cast<double>(i) * delta) - 1);
  return timesteps;
}

std::vector<int64_t> linspace_timesteps(int64_t train_steps, int64_t steps) {
  if (steps == 1) return {0};
  const double last = static_cast<double>(train_steps - 1);
  const double delta = last / static_cast<double>(steps - 1);
  std::vector<int64_t> timesteps = {train_steps - 1};
  for (int64_t i = steps - 2; i >= 0; --i) timesteps.push_back(std::llrint(static_cast<double>(i) * delta));
  return timesteps;
}

std::vector<int64_t> leading_timesteps(int64_t train_steps, int64_t steps, int64_t offset) {
  std::vector<int64_t> timesteps;
  for (int64_t i = steps - 1; i >= 0; --i) timesteps.push_back(i * (train_steps / steps) + offset);
  if (timesteps.front() >= train_steps)
    throw UsageError(std::to_string(steps) + " steps with leading spacing and an offset of " +
                     std::to_string(offset) + " would start at timestep " +
                     std::to_string(timesteps.front()) + "; the model has 0 to " +
                     std::to_string(train_steps - 1) + ": use fewer steps or another schedule");
  return timesteps;
}

}  // namespace

const std::vector<SpacingName>& spacings() {
  static const std::vector<SpacingName> table = {
      {"leading", "from the first timestep up in equal steps; stops short of the noisiest", Spacing::leading},
      {"trailing", "from the noisiest timestep down in equal steps", Spacing::trailing},
      {"linspace", "evenly, both ends included", Spacing::linspace},
  };
  return table;
}

Spacing find_spacing(std::string_view name) {
  return find_row<UsageError>("schedule", name, spacings()).spacing;
}

std::vector<int64_t> spaced_timesteps(Spacing spacing, int64_t train_steps, int64_t steps, int64_t offset) {
  if (steps < 1 || steps > train_steps)
    throw UsageError(std::to_string(steps) + " steps; this model allows 1 to " + std::to_string(train_steps));
  switch (spacing) {
    case Spacing::trailing:
      return trailing_timesteps(train_steps, steps);
    case Spacing::linspace:
      return linspace_timesteps(train_steps, steps);
    case Spacing::leading:
      break;
  }
  return leading_timesteps(train_steps, steps, offset);
}

Walk build_walk(const NoiseSchedule& schedule, const WalkOptions& options) {
  const std::vector<int64_t> timesteps =
      spaced_timesteps(options.spacing, schedule.size(), options.steps, options.steps_offset);
  const Level final = options.final_alpha_one ? Level{1, 0, 0} : schedule.at(0);
  Walk walk;
  for (size_t i = 0; i < timesteps.size(); ++i) {
    int64_t previous = timesteps[i] - schedule.size() / options.steps;
    if (options.previous == Previous::next) previous = i + 1 < timesteps.size() ? timesteps[i + 1] : -1;
    walk.steps.push_back({schedule.at(timesteps[i]), previous < 0 ? final : schedule.at(previous)});
  }
  return walk;
}

}  // namespace darkroom
