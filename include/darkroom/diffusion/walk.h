#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/diffusion/level.h"
#include "darkroom/diffusion/schedule.h"
#include "darkroom/diffusion/spacing.h"

namespace darkroom {

/// From one level to a lower one. `to` need not be where the next step starts (diffusers' DDIM).
struct Step {
  Level at;
  Level to;
};

/// The levels a sampler visits, and the factor that makes unit noise its start. The builder knows how a
/// reference spaces timesteps, where it steps to and how it scales x; samplers do not.
struct Walk {
  std::vector<Step> steps;
  double init_scale = 1;
  /// The level at a noise ratio between grid points, for samplers that call the denoiser there.
  std::function<Level(double noise_ratio)> level_at = {};
  /// The level at a timestep between grid points; beyond the schedule's ends, the ends'. Where the grid holds
  /// trained timesteps alone, the nearest of them.
  std::function<Level(double timestep)> at_timestep = {};
};

/// Whose numbers a walk follows where the two differ: diffusers rounds timesteps and interpolates sigma,
/// k-diffusion (A1111, ComfyUI) keeps them fractional and interpolates log sigma.
enum class Convention { diffusers, k };

std::vector<std::string> convention_names();

/// Throws UsageError naming the nearest if there is none of this name.
Convention find_convention(std::string_view name);

/// Where a step of the trained grid ends.
enum class Previous {
  next,      ///< at the next timestep of the list
  constant,  ///< at t - T/N, rounded down, which diffusers' DDIM and PNDM use whatever the list says
};

/// Where the last step ends.
enum class Final { zero, first_trained };

struct WalkOptions {
  const SpacingInfo* spacing = nullptr;
  int64_t steps = 50;
  int64_t steps_offset = 0;  ///< added to every timestep of leading spacing
  Grid grid = Grid::trained;
  bool rounds_karras = false;   ///< diffusers rounds timesteps of Karras levels on the sigma grid too (KDPM2)
  int64_t original_steps = 50;  ///< of a consistency grid
  Previous previous = Previous::next;
  Final final = Final::zero;
  Convention convention = Convention::diffusers;
  /// The timesteps whose ends a sigma curve takes on diffusers' sigma grid, and which decide its start's
  /// scale.
  Spacing base = Spacing::linspace;
  std::optional<double> rho = {};  ///< of curves that have one; none: the curve's own
};

/// Throws UsageError as spaced_timesteps, and where the spacing has no meaning on the grid.
Walk build_walk(const NoiseSchedule& schedule, const WalkOptions& options);

/// The walk from its first level to the last where there is noise, as one step, for samplers that choose
/// their own. Throws UsageError where the two are one.
Walk at_once(Walk walk);

}  // namespace darkroom
