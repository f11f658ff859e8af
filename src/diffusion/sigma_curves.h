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

}  // namespace darkroom
