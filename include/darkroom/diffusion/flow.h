#pragma once

#include <cstdint>
#include <optional>

#include "darkroom/diffusion/walk.h"

namespace darkroom {

/// How rectified flow gives more steps to high noise: sigma = k u / (1 + (k - 1) u) of an even u, where
/// k = shift (Esser et al. 2403.03206), or follows from the picture's size.
struct FlowSpec {
  double shift = 1;
  /// mu is linear in the number of patches, and k = exp(mu) or mu (diffusers: time_shift_type).
  struct Dynamic {
    bool exponential = true;
    double base_shift = 0.5, max_shift = 1.15;    ///< mu at these lengths
    double base_length = 256, max_length = 4096;  ///< patches
    int64_t patch = 2;                            ///< rows and columns of latents in one
    bool operator==(const Dynamic&) const = default;
  };
  std::optional<Dynamic> dynamic = {};
  std::optional<double> terminal = {};  ///< the grid is stretched so that its last sigma is this
  bool operator==(const FlowSpec&) const = default;
};

/// Rectified flow: x = (1 - sigma) x0 + sigma noise, and the network is told sigma T.
struct FlowSchedule {
  int64_t steps = 1000;          ///< T
  double shift = 1;              ///< k
  bool trained_shifted = false;  ///< the trained sigmas are shifted too, as diffusers has it for a fixed k
  std::optional<double> terminal = {};  ///< as FlowSpec's
};

/// For latents of rows x columns. `shift` replaces the model's own, dynamic or not.
FlowSchedule make_flow_schedule(const FlowSpec& spec, int64_t train_steps, int64_t rows, int64_t columns,
                                std::optional<double> shift = {});

/// The walk on rectified flow. Throws UsageError as build_walk on a NoiseSchedule, and for the spacings that
/// are made of trained noise levels, which flow models do not have.
Walk build_walk(const FlowSchedule& schedule, const WalkOptions& options);

}  // namespace darkroom
