// PNDM's family against exact solutions on Gaussian data, in float64.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "darkroom/diffusion/sampler.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using testing::exponential_walk;
using testing::gaussian_denoiser;
using testing::gaussian_flow;
using testing::RecordedNoise;

constexpr double kMean = 0.3, kDeviation = 0.5;

at::Tensor number(double value) { return at::full({1, 1}, value, at::kDouble); }

// Steps two timesteps long, so that there is one in the middle of each.
Walk even_walk(int steps) {
  Walk walk = exponential_walk(14.6, 0.05, 2 * steps);
  const std::vector<Step> halves = walk.steps;
  walk.steps.clear();
  for (size_t i = 0; i < halves.size(); i += 2) walk.steps.push_back({halves[i].at, halves[i + 1].to});
  walk.at_timestep = [halves](double t) {
    const size_t i = halves.size() - static_cast<size_t>(t);
    return i < halves.size() ? halves[i].at : halves.back().to;
  };
  return walk;
}

class PseudoMultistep : public ::testing::TestWithParam<const char*> {};

// Second order: the mean of eps is one over time, where the integral's weight is the change of sigma/alpha.
TEST_P(PseudoMultistep, ConvergesWithOrderTwoToTheProbabilityFlow) {
  std::vector<double> errors;
  for (const int steps : {20, 40, 80, 160, 320}) {
    const Walk walk = even_walk(steps);
    const Level first = walk.steps.front().at, last = walk.steps.back().to;
    RecordedNoise none({});
    const at::Tensor x = number(9 * first.alpha);
    const at::Tensor end =
        sample(find_sampler(GetParam()), gaussian_denoiser(kMean, kDeviation), x, walk, none, {}, {});
    const at::Tensor exact = gaussian_flow(x, first, last, kMean, kDeviation);
    errors.push_back((end - exact).abs().item<double>() / last.alpha);
  }
  EXPECT_NEAR(errors[1], 2.5e-4, 5e-6);  // computed independently: spec 8.2 for plms
  for (size_t i = 1; i < errors.size(); ++i) {
    const double order = std::log2(errors[i - 1] / errors[i]);
    std::printf("%s order %.2f\n", GetParam(), order);
    EXPECT_NEAR(order, 2, 0.1);
  }
}

INSTANTIATE_TEST_SUITE_P(All, PseudoMultistep, ::testing::Values("pndm", "plms", "ipndm"));

// An eps that never changes is carried along exactly, whatever the weights: they add up to one.
TEST_P(PseudoMultistep, CarriesAConstantEpsExactly) {
  const Denoise denoise = [](const at::Tensor& x, const Level& level) {
    const at::Tensor eps = at::full_like(x, 0.25);
    return Prediction{(x - eps * level.sigma) / level.alpha, eps, {}};
  };
  const Walk walk = even_walk(7);
  const Level first = walk.steps.front().at, last = walk.steps.back().to;
  RecordedNoise none({});
  const double x = 2;
  const double y = x / first.alpha + 0.25 * (noise_ratio(last) - noise_ratio(first));
  const at::Tensor end = sample(find_sampler(GetParam()), denoise, number(x), walk, none, {}, {});
  EXPECT_NEAR(end.item<double>(), y * last.alpha, 1e-12);
}

}  // namespace
}  // namespace darkroom
