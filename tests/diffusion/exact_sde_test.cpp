// The samplers of the SDE view against exact solutions on Gaussian data, in float64.
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

// The same levels with alpha = 1, or as they are.
Walk walk_of(double from, double to, int steps, bool explodes) {
  Walk walk = exponential_walk(from, to, steps);
  if (explodes)
    for (auto& [at, end] : walk.steps) at = {1, noise_ratio(at), 0}, end = {1, noise_ratio(end), 0};
  walk.level_at = [explodes](double r) {
    const double alpha = explodes ? 1 : 1 / std::sqrt(1 + r * r);
    return Level{alpha, r * alpha, 0};
  };
  return walk;
}

class ProbabilityFlow : public ::testing::TestWithParam<bool> {};

// One step for the whole way, so that nothing but the tolerance sets the size of its steps.
TEST_P(ProbabilityFlow, ErrsByLessThanItsTolerance) {
  const Walk walk = walk_of(14.6, 0.03, 1, GetParam());
  const auto& [at, to] = walk.steps.front();
  const at::Tensor y = at::linspace(-20, 20, 8, at::kDouble).view({1, 8});
  const at::Tensor exact = gaussian_flow(y * at.alpha, at, to, kMean, kDeviation);
  size_t before = 0;
  for (const double tolerance : {1e-3, 1e-5, 1e-7, 1e-9}) {
    size_t calls = 0;
    const Denoise denoise = [&](const at::Tensor& x, const Level& level) {
      ++calls;
      return gaussian_denoiser(kMean, kDeviation)(x, level);
    };
    RecordedNoise none({});
    const at::Tensor end = sample(find_sampler("ode"), denoise, y * at.alpha, walk, none,
                                  {.rtol = tolerance, .atol = tolerance}, {});
    const double error = (end - exact).abs().max().item<double>() / to.alpha;
    std::printf("ode: tolerance %.0e, error %.1e, %zu calls\n", tolerance, error, calls);
    EXPECT_LE(error, tolerance * (1 + 20));  // the tolerance at the largest y
    EXPECT_GT(error, tolerance * 1e-3);      // and no more work than was asked for
    EXPECT_GT(calls, before);
    EXPECT_EQ(calls % 6, 1u);
    before = calls;
  }
}

INSTANTIATE_TEST_SUITE_P(PreservingAndExploding, ProbabilityFlow, ::testing::Values(false, true));

// The pair's order on dy/dr = y / 2, in steps that no tolerance forbids. (On Gaussian data its leading error
// changes sign on the way, and orders of 4 to 8 are seen.)
TEST(ProbabilityFlow, ConvergesWithOrderFive) {
  std::vector<double> errors;
  for (const int steps : {8, 16, 32, 64}) {
    Walk walk = walk_of(3, 1, steps, true);
    for (size_t i = 0; i < walk.steps.size(); ++i) {
      const auto r = [&](size_t k) { return 3 - 2 * static_cast<double>(k) / steps; };
      walk.steps[i] = {{1, r(i), 0}, {1, r(i + 1), 0}};
    }
    int calls = 0;
    const Denoise denoise = [&](const at::Tensor& y, const Level& level) {
      ++calls;
      return Prediction{y * (1 - level.sigma / 2), y / 2, {}};
    };
    RecordedNoise none({});
    const at::Tensor y = at::full({1, 1}, 9, at::kDouble);
    const at::Tensor end = sample(find_sampler("ode"), denoise, y, walk, none, {.rtol = 1, .atol = 1}, {});
    EXPECT_EQ(calls, 7 * steps);  // one attempt each
    errors.push_back(std::abs(end.item<double>() - 9 * std::exp(-1)));
  }
  for (size_t i = 1; i < errors.size(); ++i) {
    std::printf("ode order %.2f\n", std::log2(errors[i - 1] / errors[i]));
    EXPECT_NEAR(std::log2(errors[i - 1] / errors[i]), 5, 0.25);
  }
}

// Down to the least trained level and from there to x0.
TEST(ProbabilityFlow, EndsWhereTrainingEnds) {
  const NoiseSchedule schedule({.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012});
  const Walk walk = build_walk(
      schedule, {.spacing = &find_spacing("trailing"), .steps = 1, .grid = find_sampler("ode").grid});
  const Level first = walk.steps.front().at, least = {1, schedule.sigmas().front(), 0};
  const at::Tensor x = at::full({1, 1}, 9, at::kDouble);
  const Denoise denoise = gaussian_denoiser(kMean, kDeviation);
  RecordedNoise none({});
  const at::Tensor end =
      sample(find_sampler("ode"), denoise, x, walk, none, {.rtol = 1e-9, .atol = 1e-9}, {});
  const at::Tensor exact = denoise(gaussian_flow(x, first, least, kMean, kDeviation), least).x0;
  EXPECT_NEAR(end.item<double>(), exact.item<double>(), 1e-8);
}

struct Moments {
  double mean, variance;
};

// Of x / alpha. With many elements the lengths in a corrector's step are their expected ones.
Moments moments_of(const Walk& walk, const SamplerOptions& options) {
  const double top = noise_ratio(walk.steps.front().at), c = kDeviation * kDeviation;
  Moments m{0, top * top};
  for (const auto& [at, to] : walk.steps) {
    const double s = noise_ratio(at), next = noise_ratio(to), gain = 1 - (s * s - next * next) / (c + s * s);
    m = {kMean + (m.mean - kMean) * gain, m.variance * gain * gain + s * s - next * next};
    for (int64_t i = 0; i < options.corrector_steps; ++i) {
      const double slope = next / (c + next * next), away = m.mean - kMean;
      const double k = options.snr / (slope * std::sqrt(m.variance + away * away));
      const double keep = 1 - 2 * next * k * k * slope;
      m = {kMean + away * keep, m.variance * keep * keep + std::pow(2 * next * k, 2)};
    }
  }
  return m;
}

TEST(PredictorCorrector, HasTheMomentsOfItsFormula) {
  constexpr int64_t kCount = 40000;
  for (const bool explodes : {false, true})
    for (const int64_t correctors : {0, 1, 3}) {
      const SamplerOptions options{.snr = 0.1, .corrector_steps = correctors};
      const Walk walk = walk_of(80, 0.01, 80, explodes);
      const Moments expected = moments_of(walk, options);
      const Level first = walk.steps.front().at, last = walk.steps.back().to;
      SeededNoise noise({7}, {kCount}, at::kFloat, at::TensorOptions(at::kDouble));
      const at::Tensor x = sample(find_sampler("pc"), gaussian_denoiser(kMean, kDeviation),
                                  noise.draw() * first.sigma, walk, noise, options, {}) /
                           last.alpha;
      EXPECT_NEAR(x.mean().item<double>(), expected.mean, 4 * kDeviation / std::sqrt(kCount));
      EXPECT_NEAR(x.var().item<double>(), expected.variance, 6 * kDeviation * kDeviation / std::sqrt(kCount));
    }
}

// Without a corrector the step is affine: one step against its closed form. Then how far off its variance is,
// which halves with the length of the steps.
TEST(PredictorCorrector, PredictorIsOfWeakOrderOne) {
  const SamplerOptions options{.corrector_steps = 0};
  std::vector<double> errors;
  for (const int steps : {80, 160, 320}) {
    const Walk walk = walk_of(80, 0.01, steps, true);
    Moments m{0, 6400};
    for (const Step& step : walk.steps) {
      Walk one = walk;
      one.steps = {step};
      const auto at = [&](double x, double z) {
        RecordedNoise noise({at::full({1, 1}, z, at::kDouble)});
        return sample(find_sampler("pc"), gaussian_denoiser(kMean, kDeviation),
                      at::full({1, 1}, x, at::kDouble), one, noise, options, {})
            .item<double>();
      };
      const double b = at(0, 0), a = at(1, 0) - b, c = at(0, 1) - b;
      m = {a * m.mean + b, a * a * m.variance + c * c};
    }
    EXPECT_NEAR(m.variance, moments_of(walk, options).variance, 1e-12);
    EXPECT_NEAR(m.mean, kMean, 1e-4);
    errors.push_back(std::abs(m.variance - kDeviation * kDeviation));
  }
  for (size_t i = 1; i < errors.size(); ++i) {
    std::printf("pc weak order %.2f\n", std::log2(errors[i - 1] / errors[i]));
    EXPECT_NEAR(std::log2(errors[i - 1] / errors[i]), 1, 0.25);
  }
}

}  // namespace
}  // namespace darkroom
