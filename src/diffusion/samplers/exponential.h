#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "darkroom/diffusion/sampler.h"

namespace darkroom {

// In l = log(alpha / sigma) the probability-flow ODE is linear but for the denoiser's answer. A step of
// length h solves the linear part exactly and integrates a polynomial through past answers (Lu et al.
// 2211.01095, eq. 9; Zhang & Chen 2204.13902, eq. 15). What tells its solvers apart is written here once: the
// moments of 1, u, u^2, ... over the step, u going from 0 at its start to 1 at its end.

/// l: minus infinity at alpha = 0, infinity at sigma = 0.
double log_snr(const Level& level);

/// Integrals of h exp(-h (1 - u)) u^j from u = 0 to 1, for j = 0 to 3. With -h those of the eps form.
using Moments = std::array<double, 4>;
Moments moments(double h);

/// The weights w with sum w = 0 and sum w_k node_k^j = moments_j for j = 1, ...: what the polynomial through
/// answers at these distinct nodes (at most 4) adds to the answer at u = 0 held constant.
std::vector<double> weights_at(const std::vector<double>& nodes, const Moments& moments);

/// Where the answers of history[first], history[first + 1], ... lie in a step of length h from the first.
std::vector<double> nodes(const History& history, size_t first, size_t count, double h);

/// How many answers, newest first, lie at different places of finite l.
size_t distinct(const History& history);

/// The order the person asked for, or the sampler's own.
size_t solver_order(const SamplerOptions& options, size_t own);

/// At most `order`: as many answers as there are, and fewer towards the end of a short walk (diffusers'
/// DPMSolverMultistepScheduler).
size_t multistep_order(const StepContext& context, size_t order);

/// A jump from history[base] to `to`, plus `weights` (of history[0], history[1], ...) times x0.
at::Tensor integrate_x0(const History& history, const std::vector<double>& weights, const Level& to,
                        size_t base = 0);

/// The same of eps, from the newest.
at::Tensor integrate_eps(const History& history, const std::vector<double>& weights, const Level& to);

}  // namespace darkroom
