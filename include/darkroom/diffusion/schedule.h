#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "darkroom/diffusion/level.h"

namespace darkroom {

/// The forward process a network was trained on, as model.json and diffusers' scheduler configurations
/// describe it.
struct ScheduleSpec {
  std::string kind = {};  ///< one of schedule_kinds()
  double beta_start = 0;
  double beta_end = 0;
  int64_t steps = 1000;            ///< T, the number of training timesteps
  std::vector<double> betas = {};  ///< kind "trained" only: the betas themselves
  bool zero_terminal_snr =
      false;  ///< rescaled so that the last level holds no signal (Lin et al. 2305.08891, alg. 1)
};

/// linear, scaled_linear, cosine (squaredcos_cap_v2), sigmoid, trained.
const std::vector<std::string>& schedule_kinds();

/// How noise levels between two timesteps are found: linear in sigma/alpha (diffusers) or in its logarithm
/// (k-diffusion).
enum class Interpolation { linear, log_linear };

/// Discrete DDPM noise levels. Tables are float32, made with the operations diffusers uses, so that they
/// agree to the bit (diffusers: DDPMScheduler.__init__, betas_for_alpha_bar, rescale_zero_terminal_snr).
class NoiseSchedule {
 public:
  /// Throws ModelError naming the key for an unknown kind or an impossible value.
  explicit NoiseSchedule(const ScheduleSpec& spec);

  /// T.
  int64_t size() const { return static_cast<int64_t>(alphas_cumprod_.size()); }

  /// The level at an integer timestep, 0 <= t < size().
  Level at(int64_t t) const;

  /// sigma/alpha at every timestep (diffusers: the sigmas of the sigma family). A level without signal counts
  /// as alpha^2 = 2^-24 here, as in diffusers.
  const std::vector<float>& sigmas() const { return sigmas_; }

  /// sigma/alpha at a timestep that may be fractional; beyond the ends, the ends'.
  double sigma_at(double timestep, Interpolation interpolation) const;

  /// The fractional timestep of a sigma/alpha, in log sigma (_sigma_to_t in diffusers, sigma_to_t in
  /// k-diffusion); beyond the ends, the ends'.
  double timestep_of(double sigma) const;

  const std::vector<float>& betas() const { return betas_; }
  const std::vector<float>& alphas_cumprod() const { return alphas_cumprod_; }

 private:
  std::vector<float> betas_;
  std::vector<float> alphas_cumprod_;
  std::vector<float> sigmas_, log_sigmas_;
};

}  // namespace darkroom
