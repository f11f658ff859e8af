// Constants published in diffusers' own tests (tests/schedulers/test_scheduler_ddpm.py,
// test_scheduler_ddim.py), for a toy network x * t / (t + 1) on a fixed ramp.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace darkroom
