#pragma once

#include "darkroom/diffusion/spacing.h"

namespace darkroom {

// One SigmaCurve for each row of spacings() that has one; sources stand there.
std::vector<double> karras_sigmas(const SigmaRange& range);
std::vector<double> exponential_sigmas(const SigmaRange& range);
std::vector<double> polyexponential_sigmas(const SigmaRange& range);
std::vector<double> normal_sigmas(const SigmaRange& range);
std::vector<double> sgm_uniform_sigmas(const SigmaRange& range);
std::vector<double> simple_sigmas(const SigmaRange& range);
std::vector<double> ddim_uniform_sigmas(const SigmaRange& range);
std::vector<double> kl_optimal_sigmas(const SigmaRange& range);
std::vector<double> beta_sigmas(const SigmaRange& range);
std::vector<double> laplace_sigmas(const SigmaRange& range);
std::vector<double> linear_quadratic_sigmas(const SigmaRange& range);
std::vector<double> aligned_sigmas(const SigmaRange& range);
std::vector<double> listed_sigmas(const SigmaRange& range);

}  // namespace darkroom
