#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "darkroom/diffusion/schedule.h"

namespace darkroom {

/// How N timesteps are spread over the T trained ones (Lin et al. 2305.08891, table 2).
enum class Spacing { leading, trailing, linspace };

/// What a sampler's reference does with them.
enum class Grid {
  trained,      ///< trained timesteps: DDPM, DDIM, PNDM
  sigma,        ///< noise levels, interpolated where a timestep is fractional: Euler, Heun, LMS, DPM2
  multistep,    ///< trained timesteps, one step more than asked for and the last left out: DPM-Solver, UniPC
  consistency,  ///< the timesteps that a consistency model was distilled on, whatever the spacing: LCM, TCD
};

/// N descending timesteps as diffusers' scheduler classes of this grid make them (set_timesteps). `offset` is
/// added by leading spacing alone. Throws UsageError where N is not in 1..T, or where leading spacing with
/// its offset would leave the schedule.
std::vector<double> spaced_timesteps(Spacing spacing, Grid grid, int64_t train_steps, int64_t steps,
                                     int64_t offset);

/// N descending timesteps of the `original_steps` that a consistency model was distilled on (diffusers:
/// family of LCMScheduler and TCDScheduler, strength 1). Throws UsageError where there are fewer than N of
/// those or more than T.
std::vector<double> consistency_timesteps(int64_t train_steps, int64_t original_steps, int64_t steps);

/// What a curve of noise levels is drawn from: `steps` levels between sigma/alpha = `high` and `low`.
struct SigmaRange {
  double high, low;
  int64_t steps;
  const NoiseSchedule& schedule;
  std::optional<double> rho = {};  ///< bend of the curve; none: its own
};

/// Descending sigma/alpha, without the final 0.
using SigmaCurve = std::vector<double> (*)(const SigmaRange& range);

/// What diffusers' multistep classes do with the fractional timesteps that a curve's levels have.
enum class Rounding { none, nearest, down };

/// One row per way to space the steps. The --schedule option, `darkroom list schedules` and the walk builder
/// all read this table. A row has either timesteps or a curve.
struct SpacingInfo {
  std::string_view name;
  std::vector<std::string_view> aliases;  ///< other programs' names for it
  std::string_view summary;
  std::string_view source;
  std::optional<Spacing> timesteps = {};
  SigmaCurve curve = nullptr;
  Rounding rounding = Rounding::nearest;
  std::vector<std::string_view> options = {};  ///< it reads, by the names of the command line

  bool reads(std::string_view option) const;
};

std::span<const SpacingInfo> spacings();

/// By name or alias, ignoring case. Throws UsageError naming the nearest if there is none.
const SpacingInfo& find_spacing(std::string_view name);

}  // namespace darkroom
