// Samplers of trained timesteps against exact solutions on Gaussian data, in float64.
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

// Mean and variance of a walk's x.
struct Moments {
  double mean, variance;
};

// Of data N(kMean, kDeviation^2) at a level: the denoiser's x0 and eps are `gain` times x less its mean.
struct Gains {
  explicit Gains(const Level& l)
      : total(std::pow(l.alpha * kDeviation, 2) + l.sigma * l.sigma),
        x0(l.alpha * kDeviation * kDeviation / total),
        eps(l.sigma / total) {}
  double total, x0, eps;
};

Walk consistency_walk(Final final) {
  const NoiseSchedule schedule({.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012});
  return build_walk(
      schedule, {.spacing = &find_spacing("leading"), .steps = 8, .grid = Grid::consistency, .final = final});
}

// 40000 walks of unit noise at once, against moments that were computed step by step.
void expect_moments(std::string_view sampler, const Walk& walk, const SamplerOptions& options,
                    const Moments& expected) {
  constexpr int64_t kCount = 40000;
  SeededNoise noise({7}, {kCount}, at::kFloat, at::TensorOptions(at::kDouble));
  const at::Tensor x = sample(find_sampler(sampler), gaussian_denoiser(kMean, kDeviation), noise.draw(), walk,
                              noise, options, {});
  EXPECT_NEAR(x.mean().item<double>(), expected.mean, 4 * kDeviation / std::sqrt(kCount)) << sampler;
  EXPECT_NEAR(x.var().item<double>(), expected.variance, 6 * kDeviation * kDeviation / std::sqrt(kCount));
}

TEST(Lcm, HasTheMomentsOfItsFormula) {
  const Walk walk = consistency_walk(Final::zero);
  Moments m{0, 1};
  for (const auto& [at, to] : walk.steps) {
    const double t = 10 * at.timestep, skip = 0.25 / (t * t + 0.25), out = t / std::sqrt(t * t + 0.25);
    const Gains gain(at);
    const double mean = out * (kMean + gain.x0 * (m.mean - at.alpha * kMean)) + skip * m.mean;
    m = {to.alpha * mean, std::pow(to.alpha * (out * gain.x0 + skip), 2) * m.variance + to.sigma * to.sigma};
  }
  expect_moments("lcm", walk, {}, m);
}

// Where the boundary function is neither 0 nor 1: in walks people make it is 1e-5 away.
TEST(Lcm, BecomesTheIdentityTowardsTimestepZero) {
  const Denoise denoise = gaussian_denoiser(kMean, kDeviation);
  RecordedNoise none({});
  for (const double t : {0.0, 0.05}) {
    const Level at = {0.8, 0.6, t};
    Walk walk;
    walk.steps = {{at, {1, 0, 0}}};
    const double x0 = denoise(number(2), at).x0.item<double>();
    const double expected = t == 0 ? 2 : 0.5 * 2 + x0 / std::sqrt(2);
    const at::Tensor end = sample(find_sampler("lcm"), denoise, number(2), walk, none, {}, {});
    EXPECT_NEAR(end.item<double>(), expected, 1e-12);
  }
}

TEST(Tcd, HasTheMomentsOfItsFormula) {
  const Walk walk = consistency_walk(Final::first_trained);
  for (const double eta : {0.3, 1.0}) {
    Moments m{0, 1};
    for (size_t i = 0; i < walk.steps.size(); ++i) {
      const auto& [at, to] = walk.steps[i];
      const bool last = i + 1 == walk.steps.size();
      const Level s = last ? to : walk.at_timestep(std::floor((1 - eta) * to.timestep));
      const double keep = to.alpha / s.alpha, gain = s.alpha * Gains(at).x0 + s.sigma * Gains(at).eps;
      m.mean = keep * (s.alpha * kMean + gain * (m.mean - at.alpha * kMean));
      m.variance = std::pow(keep * gain, 2) * m.variance + 1 - keep * keep;
    }
    expect_moments("tcd", walk, {.eta = eta}, m);
  }
}

// In double (1 - 0.9) * 10 falls short of 1; diffusers' float32 reaches it.
TEST(Tcd, FloorsAFloatProduct) {
  Walk walk = consistency_walk(Final::first_trained);
  walk.steps.front().to.timestep = 10;
  std::vector<double> through;
  walk.at_timestep = [&, find = walk.at_timestep](double t) {
    through.push_back(t);
    return find(t);
  };
  RecordedNoise noise(std::vector<at::Tensor>(8, number(0)));
  sample(find_sampler("tcd"), gaussian_denoiser(kMean, kDeviation), number(2), walk, noise, {.eta = 0.9}, {});
  EXPECT_EQ(through.front(), 1);
}

TEST(Tcd, AtEtaZeroIsDdim) {
  const Walk walk = consistency_walk(Final::first_trained);
  RecordedNoise none({});
  const Denoise denoise = gaussian_denoiser(kMean, kDeviation);
  const double a = sample(find_sampler("tcd"), denoise, number(2), walk, none, {}, {}).item<double>();
  const double b = sample(find_sampler("ddim"), denoise, number(2), walk, none, {}, {}).item<double>();
  EXPECT_NEAR(a, b, 1e-12);
}

}  // namespace
}  // namespace darkroom
