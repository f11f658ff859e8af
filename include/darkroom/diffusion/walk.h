#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "darkroom/diffusion/level.h"
#include "darkroom/diffusion/schedule.h"

namespace darkroom {

/// From one level to a lower one. `to` need not be where the next step starts (diffusers' DDIM).
struct Step {
  Level at;
  Level to;
};

/// The levels a sampler visits, and the factor that makes unit noise its start. The builder knows how
/// diffusers spaces timesteps and where it steps to; samplers do not.
struct Walk {
  std::vector<Step> steps;
  double init_scale = 1;
};

/// How the N timesteps are spread over the T trained ones (Lin et al. 2305.08891, table 2).
enum class Spacing { leading, trailing, linspace };

/// Where a step ends.
enum class Previous {
  next,      ///< at the next timestep of the list
  constant,  ///< at t - T/N, rounded down, which diffusers' DDIM and PNDM use whatever the list says
};

struct SpacingName {
  std::string_view name;
  std::string_view summary;
  Spacing spacing;
};
const std::vector<SpacingName>& spacings();

/// Throws UsageError naming the nearest spacing if there is none of this name.
Spacing find_spacing(std::string_view name);

/// N descending timesteps (diffusers: set_timesteps of DDPMScheduler and DDIMScheduler). Throws UsageError
/// where N is not in 1..T, or where leading spacing with its offset would leave the schedule.
std::vector<int64_t> spaced_timesteps(Spacing spacing, int64_t train_steps, int64_t steps, int64_t offset);

struct WalkOptions {
  Spacing spacing = Spacing::leading;
  int64_t steps = 50;
  int64_t steps_offset = 0;  ///< added to every timestep of leading spacing
  Previous previous = Previous::next;
  bool final_alpha_one =
      true;  ///< the last step ends without noise; else at the first trained level (set_alpha_to_one)
};

/// Throws UsageError as spaced_timesteps.
Walk build_walk(const NoiseSchedule& schedule, const WalkOptions& options);

}  // namespace darkroom
