#include "darkroom/diffusion/spacing.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "diffusion/sigma_curves.h"

namespace darkroom {
namespace {

// numpy's arange fills with the difference of its first two entries, which rounding can make differ from the
// step asked for; the list has one entry too many for some N there, which is why this makes exactly N.
std::vector<double> trailing_timesteps(int64_t train_steps, int64_t steps) {
  const double start = static_cast<double>(train_steps);
  const double delta = (start - start / static_cast<double>(steps)) - start;
  std::vector<double> timesteps;
  for (int64_t i = 0; i < steps; ++i)
    timesteps.push_back(std::nearbyint(start + static_cast<double>(i) * delta) - 1);
  return timesteps;
}

// numpy's linspace(0, T - 1, steps), reversed.
std::vector<double> even_timesteps(int64_t train_steps, int64_t steps) {
  if (steps == 1) return {0};
  const double last = static_cast<double>(train_steps - 1);
  const double delta = last / static_cast<double>(steps - 1);
  std::vector<double> timesteps = {last};
  for (int64_t i = steps - 2; i >= 0; --i) timesteps.push_back(static_cast<double>(i) * delta);
  return timesteps;
}

std::vector<double> linspace_timesteps(Grid grid, int64_t train_steps, int64_t steps) {
  std::vector<double> timesteps = even_timesteps(train_steps, grid == Grid::multistep ? steps + 1 : steps);
  if (grid == Grid::multistep) timesteps.pop_back();
  for (double& t : timesteps) t = grid == Grid::sigma ? static_cast<float>(t) : std::nearbyint(t);
  return timesteps;
}

std::vector<double> leading_timesteps(Grid grid, int64_t train_steps, int64_t steps, int64_t offset) {
  const int64_t first = grid == Grid::multistep ? 1 : 0, stride = train_steps / (steps + first);
  std::vector<double> timesteps;
  for (int64_t i = steps - 1 + first; i >= first; --i)
    timesteps.push_back(static_cast<double>(i * stride + offset));
  if (timesteps.front() >= static_cast<double>(train_steps) || stride == 0)
    throw UsageError(std::to_string(steps) + " steps with leading spacing and an offset of " +
                     std::to_string(offset) + " would start at timestep " +
                     std::to_string(std::llrint(timesteps.front())) + "; the model has 0 to " +
                     std::to_string(train_steps - 1) + ": use fewer steps or another schedule");
  return timesteps;
}

}  // namespace

std::vector<double> spaced_timesteps(Spacing spacing, Grid grid, int64_t train_steps, int64_t steps,
                                     int64_t offset) {
  if (steps < 1 || steps > train_steps)
    throw UsageError(std::to_string(steps) + " steps; this model allows 1 to " + std::to_string(train_steps));
  switch (spacing) {
    case Spacing::trailing:
      return trailing_timesteps(train_steps, steps);
    case Spacing::linspace:
      return linspace_timesteps(grid, train_steps, steps);
    case Spacing::leading:
      break;
  }
  return leading_timesteps(grid, train_steps, steps, offset);
}

std::vector<double> consistency_timesteps(int64_t train_steps, int64_t original_steps, int64_t steps) {
  if (original_steps < 1 || original_steps > train_steps)
    throw UsageError(std::to_string(original_steps) + " original steps; this model allows 1 to " +
                     std::to_string(train_steps));
  if (steps < 1 || steps > original_steps)
    throw UsageError(std::to_string(steps) + " steps of a model distilled on " +
                     std::to_string(original_steps) + ": 1 to " + std::to_string(original_steps) +
                     " are allowed, or more --original-steps");
  const int64_t stride = train_steps / original_steps;
  const double delta = static_cast<double>(original_steps) / static_cast<double>(steps);
  std::vector<double> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    const auto skipped = static_cast<int64_t>(static_cast<double>(i) * delta);
    timesteps.push_back(static_cast<double>((original_steps - skipped) * stride - 1));
  }
  return timesteps;
}

std::span<const SpacingInfo> spacings() {
  static const std::array table = {
      SpacingInfo{.name = "leading",
                  .aliases = {},
                  .summary = "from the first timestep up in equal steps; stops short of the noisiest",
                  .source = "Lin et al. 2305.08891, table 2; diffusers",
                  .timesteps = Spacing::leading},
      SpacingInfo{.name = "trailing",
                  .aliases = {},
                  .summary = "from the noisiest timestep down in equal steps",
                  .source = "Lin et al. 2305.08891, table 2; diffusers",
                  .timesteps = Spacing::trailing},
      SpacingInfo{.name = "linspace",
                  .aliases = {},
                  .summary = "evenly, both ends included",
                  .source = "Lin et al. 2305.08891, table 2; diffusers",
                  .timesteps = Spacing::linspace},
      SpacingInfo{.name = "karras",
                  .aliases = {},
                  .summary = "short steps at low noise; suits most sigma samplers",
                  .source = "Karras et al. 2206.00364, eq. 5, rho 7",
                  .curve = karras_sigmas,
                  .options = {"rho"}},
      SpacingInfo{.name = "exponential",
                  .aliases = {},
                  .summary = "equal steps in log sigma",
                  .source = "k-diffusion get_sigmas_exponential",
                  .curve = exponential_sigmas,
                  .rounding = Rounding::down},
      SpacingInfo{.name = "polyexponential",
                  .aliases = {},
                  .summary = "exponential, bent by --rho: over 1 steps are shorter at low noise",
                  .source = "k-diffusion get_sigmas_polyexponential, rho 1",
                  .curve = polyexponential_sigmas,
                  .options = {"rho"}},
      SpacingInfo{.name = "normal",
                  .aliases = {"uniform", "discrete"},
                  .summary = "equal steps in time, both ends included, log sigma interpolated",
                  .source = "k-diffusion DiscreteSchedule.get_sigmas; ComfyUI normal",
                  .curve = normal_sigmas},
      SpacingInfo{.name = "sgm_uniform",
                  .aliases = {"SGM Uniform", "SGMUniform"},
                  .summary = "normal with one step more, the last left out: stays away from low noise",
                  .source = "Stability-AI/generative-models; A1111, ComfyUI sgm_uniform",
                  .curve = sgm_uniform_sigmas},
      SpacingInfo{.name = "simple",
                  .aliases = {},
                  .summary = "every T/N-th trained level, from the noisiest down",
                  .source = "ComfyUI simple",
                  .curve = simple_sigmas},
  };
  return table;
}

bool SpacingInfo::reads(std::string_view option) const {
  return std::ranges::find(options, option) != options.end();
}

const SpacingInfo& find_spacing(std::string_view name) {
  return find_row<UsageError>("schedule", name, spacings());
}

}  // namespace darkroom
