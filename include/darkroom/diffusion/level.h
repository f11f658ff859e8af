#pragma once

namespace darkroom {

/// One noise level: x = alpha * x0 + sigma * noise. alpha^2 + sigma^2 = 1 is DDPM ("variance preserving"),
/// alpha = 1 is the sigma family ("variance exploding", k-diffusion), alpha = 1 - sigma is rectified flow,
/// alpha = 0 is zero terminal SNR. Always on the CPU: a device scalar would stall every step.
struct Level {
  double alpha = 1;
  double sigma = 0;
  double timestep = 0;  ///< what the network is told; may be fractional
};

/// The noise level whatever the variable x is scaled to; infinite at alpha = 0.
inline double noise_ratio(const Level& level) { return level.sigma / level.alpha; }

}  // namespace darkroom
