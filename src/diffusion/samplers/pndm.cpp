#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// Liu et al. 2202.09778, eq. 11: x between two levels with an eps that need not be x's own.
at::Tensor transfer(const at::Tensor& x, const at::Tensor& eps, const Level& at, const Level& to) {
  const double scale = to.alpha / at.alpha;
  return at::mul(x, scale).add_(eps, to.sigma - scale * at.sigma);
}

// Eq. 12, and its lower orders while the history is short: Adams-Bashforth weights, the newest first.
constexpr std::array<std::array<double, 4>, 4> kWeights = {
    {{1}, {3. / 2, -1. / 2}, {23. / 12, -16. / 12, 5. / 12}, {55. / 24, -59. / 24, 37. / 24, -9. / 24}}};

// The transfer with the weighted mean of the newest eps, written as its difference from a jump.
at::Tensor multistep(const History& history, const Level& to) {
  const auto& [at, x, now] = history.front();
  at::Tensor next = jump(now, to);
  const size_t order = std::min(history.size(), kWeights.size());
  if (order == 1) return next;
  const double gain = to.alpha * (noise_ratio(to) - noise_ratio(at));
  const auto& weights = kWeights[order - 1];
  next.add_(now.eps, gain * (weights[0] - 1));
  for (size_t k = 1; k < order; ++k) next.add_(history[k].prediction.eps, gain * weights[k]);
  return next;
}

// Whether a step cannot be taken with more looks than one: it is the last, or eps says nothing about the
// picture at its start.
bool one_look(const StepContext& context) { return context.left() == 1 || context.step().at.alpha == 0; }

// Alg. 2 without the Runge-Kutta steps: orders rise from 1 (Zhang & Chen 2204.13902, appendix: iPNDM).
at::Tensor ipndm(const at::Tensor& x, StepContext& context) {
  context.evaluate(x);
  return multistep(context.history, context.step().to);
}

// As ipndm, with the first step taken again with the mean of both its ends. Where the walk's steps do not end
// at the next one's start, the second try begins one such step before it, as in diffusers.
at::Tensor plms(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const Prediction first = context.evaluate(x);
  if (context.history.size() > 1 || one_look(context)) return multistep(context.history, to);
  const Level& next = context.walk.steps[context.index + 1].at;
  const Prediction second = context.denoise(jump(first, to), next);
  const Level from = context.walk.at_timestep(next.timestep + at.timestep - to.timestep);
  return transfer(x, (first.eps + second.eps) / 2, from, next);
}

// Alg. 2: three pseudo Runge-Kutta steps (eq. 13) of four calls each, then eq. 12. Timesteps halfway are
// rounded away from the end they are counted from, as in diffusers.
at::Tensor pndm(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const Prediction first = context.evaluate(x);
  if (context.history.size() > 3 || one_look(context)) return multistep(context.history, to);
  const Level& next = context.walk.steps[context.index + 1].at;
  const double half = std::floor((at.timestep - to.timestep) / 2);
  const Level halfway = context.walk.at_timestep(at.timestep - half);
  const Level middle = context.walk.at_timestep(next.timestep + half);
  const Prediction second = context.denoise(transfer(x, first.eps, at, halfway), middle);
  const Prediction third = context.denoise(transfer(x, second.eps, at, middle), middle);
  const Prediction fourth = context.denoise(transfer(x, third.eps, at, next), next);
  return transfer(x, (first.eps + fourth.eps).add_(second.eps + third.eps, 2).div_(6), at, next);
}

}  // namespace

SamplerInfo pndm_row() {
  return {.name = "pndm",
          .aliases = {},
          .summary = "three Runge-Kutta steps of four calls, then looks back three steps for free",
          .source = "Liu et al. 2202.09778, alg. 2; diffusers PNDMScheduler, skip_prk_steps=False",
          .order = 2,
          .previous = Previous::constant,
          .final = Final::first_trained,
          .model_decides_final = true,
          .memory = 3,
          .options = {"prev"},
          .step = pndm};
}

SamplerInfo plms_row() {
  return {.name = "plms",
          .aliases = {"PNDMScheduler"},
          .summary = "as pndm, with one call more than it has steps; the first Stable Diffusion's own",
          .source =
              "Liu et al. 2202.09778, eq. 12; Rombach et al.'s PLMS; diffusers PNDMScheduler, "
              "skip_prk_steps=True",
          .order = 2,
          .previous = Previous::constant,
          .final = Final::first_trained,
          .model_decides_final = true,
          .memory = 3,
          .options = {"prev"},
          .step = plms};
}

SamplerInfo ipndm_row() {
  return {.name = "ipndm",
          .aliases = {"IPNDMScheduler"},
          .summary = "as plms on noise levels, without the extra call",
          .source = "Zhang & Chen 2204.13902; diffusers IPNDMScheduler",
          .order = 2,
          .grid = Grid::sigma,
          .memory = 3,
          .step = ipndm};
}

}  // namespace darkroom
