// Constants published in diffusers' own tests (tests/schedulers/test_scheduler_*.py), for a toy network
// x * t / (t + 1) on a fixed ramp.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "darkroom/diffusion/sampler.h"

namespace darkroom {
namespace {

at::Tensor ramp(bool reversed) {
  const at::Tensor values = at::arange(768, at::kFloat);
  return ((reversed ? values.flip(0) : values).view({3, 8, 8, 4}) / 768).permute({3, 0, 1, 2}).contiguous();
}

Denoise toy(PredictionType type) {
  return clip_sample(
      [type](const at::Tensor& x, const Level& level) {
        return interpret(type, x * (level.timestep / (level.timestep + 1)), x, level);
      },
      1.0, LimitedEps::kept);
}

// One generator for the whole batch, as the upstream tests use.
class BatchNoise : public Noise {
 public:
  at::Tensor draw() override { return at::randn({4, 3, 8, 8}, generator_); }

 private:
  at::Generator generator_ = at::detail::createCPUGenerator(0);
};

struct Published {
  std::string_view sampler;
  PredictionType type;
  double beta_start;
  int64_t steps;
  bool set_alpha_to_one;
  int64_t first_step;  // of a noised start; 0: the whole walk from the ramp
  double sum;
  double tolerance;
};

class PublishedSum : public ::testing::TestWithParam<Published> {};

TEST_P(PublishedSum, OfAbsoluteValues) {
  const Published& p = GetParam();
  const SamplerInfo& sampler = find_sampler(p.sampler);
  const NoiseSchedule schedule({.kind = "linear", .beta_start = p.beta_start, .beta_end = 0.02});
  Walk walk = build_walk(schedule, {.spacing = &find_spacing("leading"),
                                    .steps = p.steps,
                                    .previous = sampler.previous,
                                    .final = p.set_alpha_to_one ? Final::zero : sampler.final});
  walk.steps.erase(walk.steps.begin(), walk.steps.begin() + p.first_step);
  at::Tensor x = ramp(false);
  const Level first = walk.steps.front().at;
  if (p.first_step > 0) x = first.alpha * x + first.sigma * ramp(true);
  BatchNoise noise;
  x = sample(sampler, toy(p.type), x, walk, noise, {}, {});
  EXPECT_NEAR(x.abs().sum(at::kDouble).item<double>(), p.sum, p.tolerance);
}

constexpr auto kEps = PredictionType::epsilon;
constexpr auto kV = PredictionType::v;
// Upstream asserts 1e-2. Its scalars are rounded to float32; with double scalars the DDPM row from step 998
// moves by 2.1e-2 of 388, which is upstream's rounding and not ours.
INSTANTIATE_TEST_SUITE_P(Diffusers, PublishedSum,
                         ::testing::Values(Published{"ddpm", kEps, 1e-4, 1000, true, 0, 258.9606, 1e-2},
                                           Published{"ddpm", kV, 1e-4, 1000, true, 0, 202.0296, 1e-2},
                                           Published{"ddpm", kEps, 1e-4, 1000, true, 998, 387.9466, 3e-2},
                                           Published{"ddim", kEps, 1e-4, 10, true, 0, 172.0067, 1e-2},
                                           Published{"ddim", kV, 1e-4, 10, true, 0, 52.5302, 1e-2},
                                           Published{"ddim", kEps, 1e-2, 10, true, 0, 149.8295, 1e-2},
                                           Published{"ddim", kEps, 1e-2, 10, false, 0, 149.0784, 1e-2},
                                           Published{"ddim", kEps, 1e-4, 10, true, 8, 354.5418, 1e-2},
                                           Published{"pndm", kEps, 1e-4, 10, false, 0, 198.1318, 1e-2},
                                           Published{"pndm", kEps, 1e-2, 10, true, 0, 230.0345, 1e-2},
                                           Published{"pndm", kEps, 1e-2, 10, false, 0, 186.9421, 1e-2}));

// A walk on noise levels. `noised` is the step that a noised ramp starts at; 0: the whole walk from the ramp.
struct PublishedWalk {
  std::string_view sampler;
  PredictionType type;
  std::string_view schedule;
  double value;  // the sum of 768 |x|
  size_t noised = 0;
  double threshold_ratio = 0;
  bool mean = false;  // of |x|, not their sum
  int64_t steps = 10;
  size_t begin = 0;  // of a ramp that is not noised
};
void PrintTo(const PublishedWalk& p, std::ostream* out) { *out << p.sampler << ' ' << p.value; }

class PublishedValue : public ::testing::TestWithParam<PublishedWalk> {
 protected:
  const PublishedWalk& p = GetParam();
  const SamplerInfo& sampler = find_sampler(p.sampler);

  static at::Tensor toy(const at::Tensor& x, const Level& level) {
    return x * (level.timestep / (level.timestep + 1));
  }

  void expect_published(const at::Tensor& x) const {
    const at::Tensor sizes = x.abs().to(at::kDouble);
    const double found = (p.mean ? sizes.mean() : sizes.sum()).item<double>();
    // Upstream's own tolerances; large sums of float32 tables to six digits.
    EXPECT_NEAR(found, p.value, p.mean ? 1e-3 : std::max(1e-2, 2e-6 * p.value));
  }
};

using PublishedSigma = PublishedValue;

// Upstream's test loops write the network's scaled input over x, which the step then takes.
TEST_P(PublishedSigma, OfAScaledStart) {
  const NoiseSchedule schedule({.kind = "linear", .beta_start = 1e-4, .beta_end = 0.02, .steps = 1100});
  const Walk walk = build_walk(schedule, {.spacing = &find_spacing(p.schedule),
                                          .steps = p.steps,
                                          .grid = sampler.grid,
                                          .rounds_karras = sampler.rounds_karras,
                                          .final = sampler.final});
  const auto scaled = [](const at::Tensor& x, const Level& level) { return x / std::hypot(1, level.sigma); };
  bool first = true;  // of a step's calls, which has x scaled already
  const Denoise denoise = [&](const at::Tensor& x, const Level& level) {
    const at::Tensor input = std::exchange(first, false) ? x : scaled(x, level);
    const Level unit = {1 / std::hypot(1, level.sigma), level.sigma / std::hypot(1, level.sigma), 0};
    const at::Tensor raw = toy(input, level);
    const at::Tensor x0 = p.type == PredictionType::epsilon
                              ? input - level.sigma * raw
                              : unit.alpha * unit.alpha * input - unit.sigma * raw;
    const at::Tensor eps = (input - x0) / level.sigma;
    return Prediction{x - level.sigma * eps, eps, {}};
  };
  at::Tensor x = ramp(false) * walk.init_scale;
  if (p.noised > 0) x = x + walk.steps[p.noised].at.sigma * ramp(true);
  BatchNoise noise;
  const SamplerOptions options = default_options(sampler, Convention::diffusers);
  SamplerState state{x, p.noised};
  while (state.step < walk.steps.size()) {
    state.x = scaled(state.x, walk.steps[state.step].at);
    first = true;
    state = sample_until(state.step + 1, sampler, denoise, std::move(state), walk, noise, options, {});
  }
  expect_published(state.x);
}

// Without two: LMS from a noised start looks further back upstream than it has been, and DPM++ SDE's noise is
// torchsde's.
INSTANTIATE_TEST_SUITE_P(Diffusers, PublishedSigma,
                         ::testing::Values(PublishedWalk{"euler", kEps, "linspace", 10.0807},
                                           PublishedWalk{"euler", kEps, "karras", 124.52299},
                                           PublishedWalk{"euler", kEps, "linspace", 57062.9297, 8},
                                           PublishedWalk{"euler_a", kEps, "linspace", 152.3192},
                                           PublishedWalk{"euler_a", kV, "linspace", 108.4439},
                                           PublishedWalk{"euler_a", kEps, "linspace", 56163.0508, 8},
                                           PublishedWalk{"heun", kEps, "linspace", 0.1233},
                                           PublishedWalk{"heun", kEps, "linspace", 75074.8906, 8},
                                           PublishedWalk{"dpm2", kEps, "linspace", 20.4125},
                                           PublishedWalk{"dpm2", kEps, "linspace", 70408.4062, 8},
                                           PublishedWalk{"dpm2_a", kEps, "linspace", 13979.9433},
                                           PublishedWalk{"dpm2_a", kV, "linspace", 331.8133},
                                           PublishedWalk{"dpm2_a", kEps, "linspace", 93087.3437, 8},
                                           PublishedWalk{"lms", kEps, "linspace", 1006.388},
                                           PublishedWalk{"lms", kEps, "karras", 3812.9927}));

using PublishedMultistep = PublishedValue;

TEST_P(PublishedMultistep, OfTheRamp) {
  const bool consistency = sampler.grid == Grid::consistency;
  const NoiseSchedule schedule(
      consistency ? ScheduleSpec{.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012}
                  : ScheduleSpec{.kind = "linear", .beta_start = 1e-4, .beta_end = 0.02});
  const Walk walk = build_walk(schedule, {.spacing = &find_spacing(p.schedule),
                                          .steps = p.steps,
                                          .grid = sampler.grid,
                                          .final = consistency ? sampler.final : Final::first_trained});
  Denoise denoise = [&](const at::Tensor& x, const Level& level) {
    return interpret(p.type, toy(x, level), x, level);
  };
  if (p.threshold_ratio > 0)
    denoise = dynamic_threshold(denoise, p.threshold_ratio, 0.5, LimitedEps::derived);
  at::Tensor x = ramp(false);
  const Level& first = walk.steps[p.noised].at;
  if (p.noised > 0) x = first.alpha * x + first.sigma * ramp(true);
  SamplerOptions options = default_options(sampler, Convention::diffusers);
  options.lower_order_final = p.sampler == "unipc";
  BatchNoise noise;
  const size_t begin = std::max(p.noised, p.begin), end = walk.steps.size();
  expect_published(sample_until(end, sampler, denoise, {x, begin}, walk, noise, options, {}).x);
}

PublishedWalk mean(std::string_view sampler, PredictionType type, std::string_view schedule, double value,
                   double threshold_ratio = 0) {
  return {sampler, type, schedule, value, 0, threshold_ratio, true};
}

// The Karras rows with v are what 0.42.1 gives; its tests' own values, 0.2096 and 0.1966, are within their
// tolerance of it.
INSTANTIATE_TEST_SUITE_P(
    Diffusers, PublishedMultistep,
    ::testing::Values(mean("dpm++2m", kEps, "linspace", 0.3301), mean("dpm++2m", kV, "linspace", 0.2251),
                      mean("dpm++2m", kV, "lu", 0.1554), mean("dpm++2m", kEps, "linspace", 1.1364, 0.87),
                      mean("dpm++2m", kV, "karras", 0.2092),
                      PublishedWalk{"dpm++2m", kEps, "linspace", 318.4111, 5},
                      mean("dpm++2s", kEps, "linspace", 0.2791), mean("dpm++2s", kEps, "karras", 0.2248),
                      mean("dpm++2s", kV, "linspace", 0.1453), mean("dpm++2s", kV, "karras", 0.0649),
                      PublishedWalk{"dpm++2s", kEps, "linspace", 0.2574, 0, 0, true, 50, 3},
                      PublishedWalk{"dpm++2s", kEps, "linspace", 269.2187, 5},
                      mean("unipc", kEps, "linspace", 0.2464), mean("unipc", kEps, "karras", 0.2925),
                      mean("unipc", kV, "linspace", 0.1014), mean("unipc", kV, "karras", 0.19621),
                      PublishedWalk{"unipc", kEps, "linspace", 315.5757, 8},
                      PublishedWalk{"lcm", kEps, "leading", 18.7097, 0, 0, false, 1},
                      PublishedWalk{"lcm", kEps, "leading", 197.7616},
                      PublishedWalk{"tcd", kEps, "leading", 29.8715, 0, 0, false, 1},
                      PublishedWalk{"tcd", kEps, "leading", 181.2040}));

}  // namespace
}  // namespace darkroom
