#include <algorithm>
#include <array>

#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// The part of the step from `from` to `to` that the slope at nodes[j] takes: the mean of Lagrange's
// polynomial through the nodes that is 1 there. Gauss's four points are exact up to order 8.
double share_of(const std::vector<double>& nodes, size_t j, double from, double to) {
  constexpr std::array<double, 4> kPoints = {-0.861136311594052575224, -0.339981043584856264803,
                                             0.339981043584856264803, 0.861136311594052575224};
  constexpr std::array<double, 4> kWeights = {0.347854845137453857373, 0.652145154862546142627,
                                              0.652145154862546142627, 0.347854845137453857373};
  double share = 0;
  for (size_t g = 0; g < kPoints.size(); ++g) {
    const double sigma = from + (to - from) * (kPoints[g] + 1) / 2;
    double basis = kWeights[g] / 2;
    for (size_t k = 0; k < nodes.size(); ++k)
      if (k != j) basis *= (sigma - nodes[k]) / (nodes[j] - nodes[k]);
    share += basis;
  }
  return share;
}

// Adams-Bashforth with steps of any length, over sigma. The order counts the walk's steps, as in diffusers: a
// walk begun in its middle has the coefficients of a full history at once, but not all the slopes.
at::Tensor lms(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  const auto wanted = static_cast<size_t>(context.options.order > 0 ? context.options.order : 4);
  std::vector<double> nodes;
  for (size_t k = 0; k < std::min(context.index + 1, wanted); ++k)
    nodes.push_back(context.walk.steps[context.index - k].at.sigma);

  at::Tensor next = jump(context.evaluate(x), to);
  for (size_t j = 0; j < std::min(nodes.size(), context.history.size()); ++j) {
    const double jumped = j == 0 ? 1 : 0, share = share_of(nodes, j, at.sigma, to.sigma) - jumped;
    next = advance(next, context.history[j].prediction, at, to, share);
  }
  return next;
}

}  // namespace

SamplerInfo lms_row() {
  return {.name = "lms",
          .aliases = {"LMSDiscreteScheduler", "k_lms"},
          .summary = "looks back three steps for free; for smooth walks of 20 steps or more",
          .source =
              "linear multistep (Adams-Bashforth); diffusers LMSDiscreteScheduler; k-diffusion "
              "sample_lms",
          .order = 4,
          .grid = Grid::sigma,
          .memory = 3,
          .options = {"solver-order"},
          .highest_order = 4,
          .step = lms};
}

}  // namespace darkroom
