// Schedules, spacings, predictions and noise, each by itself.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "darkroom/base/error.h"
#include "darkroom/diffusion/sampler.h"
#include "support/golden.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using testing::worst_difference;

const ScheduleSpec kStableDiffusion{.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012};

TEST(Schedule, HasTheKnownValues) {
  const NoiseSchedule sd(kStableDiffusion);
  EXPECT_FLOAT_EQ(sd.alphas_cumprod().front(), 0.99914998f);
  EXPECT_FLOAT_EQ(sd.alphas_cumprod().back(), 0.0046600951f);
  const NoiseSchedule linear({.kind = "linear", .beta_start = 1e-4, .beta_end = 0.02});
  EXPECT_FLOAT_EQ(linear.alphas_cumprod().back(), 4.0358307e-5f);
  const NoiseSchedule cosine({.kind = "cosine"});
  EXPECT_NEAR(cosine.betas()[998], 0.7499994, 1e-6);
  EXPECT_NEAR(cosine.alphas_cumprod().back(), 2.4287e-9, 1e-12);
}

TEST(Schedule, ZeroTerminalSnrHoldsNoSignalAtTheEnd) {
  ScheduleSpec spec = kStableDiffusion;
  spec.zero_terminal_snr = true;
  const NoiseSchedule schedule(spec);
  EXPECT_EQ(schedule.betas().back(), 1.0f);
  EXPECT_EQ(schedule.at(999).alpha, 0.0);
  EXPECT_EQ(schedule.at(999).sigma, 1.0);
  EXPECT_FLOAT_EQ(schedule.alphas_cumprod().front(), 0.99914998f);
}

TEST(Schedule, RefusesWhatMakesNone) {
  EXPECT_THROW(NoiseSchedule({.kind = "scaled_liner", .beta_start = 1e-4, .beta_end = 0.02}), ModelError);
  EXPECT_THROW(NoiseSchedule({.kind = "linear", .beta_start = 0, .beta_end = 0.02}), ModelError);
  EXPECT_THROW(NoiseSchedule({.kind = "linear", .beta_start = 1e-4, .beta_end = 1.5}), ModelError);
  EXPECT_THROW(NoiseSchedule({.kind = "linear", .beta_start = 1e-4, .beta_end = 0.02, .steps = 0}),
               ModelError);
  EXPECT_THROW(NoiseSchedule({.kind = "trained"}), ModelError);
}

using Timesteps = std::vector<double>;

TEST(Spacing, GivesTheKnownLists) {
  EXPECT_EQ(spaced_timesteps(Spacing::linspace, Grid::trained, 1000, 10, 0),
            (Timesteps{999, 888, 777, 666, 555, 444, 333, 222, 111, 0}));
  EXPECT_EQ(spaced_timesteps(Spacing::leading, Grid::trained, 1000, 10, 1),
            (Timesteps{901, 801, 701, 601, 501, 401, 301, 201, 101, 1}));
  EXPECT_EQ(spaced_timesteps(Spacing::trailing, Grid::trained, 1000, 3, 0), (Timesteps{999, 666, 332}));
  EXPECT_EQ(spaced_timesteps(Spacing::linspace, Grid::trained, 1000, 1, 0), (Timesteps{0}));
  EXPECT_EQ(spaced_timesteps(Spacing::trailing, Grid::trained, 1000, 1, 0), (Timesteps{999}));
}

// For 61 steps (and 61 other counts) numpy's arange, and so diffusers, puts a 62nd timestep of -1 at the end.
TEST(Spacing, IsDescendingInRangeAndOfTheLengthAskedFor) {
  for (const Spacing spacing : {Spacing::leading, Spacing::trailing, Spacing::linspace}) {
    for (int64_t steps = 1; steps <= 1000; ++steps) {
      const Timesteps list = spaced_timesteps(spacing, Grid::trained, 1000, steps, 0);
      ASSERT_EQ(static_cast<int64_t>(list.size()), steps);
      ASSERT_LE(list.front(), 999);
      ASSERT_GE(list.back(), 0) << static_cast<int>(spacing) << " " << steps;
      for (size_t i = 1; i < list.size(); ++i)
        ASSERT_LT(list[i], list[i - 1]) << static_cast<int>(spacing) << " " << steps;
    }
  }
}

TEST(Spacing, RefusesWhatDoesNotFit) {
  EXPECT_THROW(spaced_timesteps(Spacing::trailing, Grid::trained, 1000, 0, 0), UsageError);
  EXPECT_THROW(spaced_timesteps(Spacing::trailing, Grid::trained, 1000, 1001, 0), UsageError);
  EXPECT_THROW(spaced_timesteps(Spacing::leading, Grid::trained, 1000, 1000, 1), UsageError);
  EXPECT_THROW(find_spacing("trailng"), UsageError);
}

TEST(Walk, StepsWhereDiffusersDdimStepsOrToTheNextTimestep) {
  const NoiseSchedule schedule(kStableDiffusion);
  WalkOptions options{.spacing = &find_spacing("linspace"), .steps = 10, .previous = Previous::constant};
  EXPECT_EQ(build_walk(schedule, options).steps[0].to.timestep, 899);
  EXPECT_EQ(build_walk(schedule, options).steps[1].at.timestep, 888);
  options.previous = Previous::next;
  EXPECT_EQ(build_walk(schedule, options).steps[0].to.timestep, 888);
  EXPECT_EQ(build_walk(schedule, options).steps.back().to.alpha, 1);
  options.final = Final::first_trained;
  EXPECT_EQ(build_walk(schedule, options).steps.back().to.alpha, schedule.at(0).alpha);
}

// One x0 told in four ways is one prediction, at a variance-preserving and at a rectified-flow level.
TEST(Prediction, TypesAreFourWaysToSayTheSame) {
  const at::Tensor x0 = at::linspace(-2, 2, 24, at::kDouble).view({2, 3, 4}), eps = x0.sin() + 0.1;
  for (const Level& level : {Level{0.6, 0.8, 500}, Level{0.3, 0.7, 700}}) {
    const at::Tensor x = x0 * level.alpha + eps * level.sigma;
    const std::vector<std::pair<PredictionType, at::Tensor>> raws = {
        {PredictionType::epsilon, eps},
        {PredictionType::sample, x0},
        {PredictionType::flow, eps - x0},
    };
    for (const auto& [type, raw] : raws) {
      const Prediction p = interpret(type, raw, x, level);
      EXPECT_LT(worst_difference(p.x0, x0), 1e-14);
      EXPECT_LT(worst_difference(p.eps, eps), 1e-14);
    }
  }
  const Level level{0.6, 0.8, 500};  // v assumes alpha^2 + sigma^2 = 1
  const Prediction p = interpret(PredictionType::v, eps * level.alpha - x0 * level.sigma,
                                 x0 * level.alpha + eps * level.sigma, level);
  EXPECT_LT(worst_difference(p.x0, x0), 1e-14);
  EXPECT_LT(worst_difference(p.eps, eps), 1e-14);
}

TEST(Prediction, DdimWalksRectifiedFlowToTheExactSolution) {
  const int steps = 400;
  Walk walk;
  for (int i = 0; i < steps; ++i) {
    const double at = 1 - static_cast<double>(i) / steps, to = 1 - static_cast<double>(i + 1) / steps;
    walk.steps.push_back({{1 - at, at, at * 1000}, {1 - to, to, to * 1000}});
  }
  const double mean = 0.3, deviation = 0.5;
  const Denoise exact = testing::gaussian_denoiser(mean, deviation);
  const Denoise flow = [&](const at::Tensor& x, const Level& level) {
    const Prediction p = exact(x, level);
    return interpret(PredictionType::flow, p.eps - p.x0, x, level);
  };
  const at::Tensor x = at::linspace(-2, 2, 9, at::kDouble).view({1, 9});
  testing::RecordedNoise none({});
  const at::Tensor expected =
      testing::gaussian_flow(x, walk.steps.front().at, walk.steps.back().to, mean, deviation);
  // Order one: about 2.3 / steps here.
  EXPECT_LT(worst_difference(sample(find_sampler("ddim"), flow, x, walk, none, {}, {}), expected),
            2.5 / steps);
}

// torch.randn with torch.Generator("cpu").manual_seed(0), as printed by torch 2.11. Two machines may differ
// in the last place: their vector instructions compute sine and logarithm differently.
TEST(Noise, EqualsTorchsGenerator) {
  SeededNoise sixteen({0}, {16}, at::kFloat, at::TensorOptions(at::kFloat));
  const at::Tensor expected =
      at::tensor({-1.1258, -1.1524, -0.2506, -0.4339, 0.8487, 0.6920, -0.3160, -2.1152, 0.3223, -1.2633,
                  0.3500, 0.3081, 0.1198, 1.2377, 1.1168, -0.2473});
  EXPECT_LT((sixteen.draw()[0] - expected).abs().max().item<double>(), 5.1e-5);
  SeededNoise three({0}, {3}, at::kFloat, at::TensorOptions(at::kFloat));
  EXPECT_LT((three.draw()[0] - at::tensor({1.5410, -0.2934, -2.1788})).abs().max().item<double>(), 5.1e-5);
}

TEST(Noise, OfAnImageIsTheSameInEveryBatch) {
  const std::vector<int64_t> shape = {3, 5, 7};  // not a multiple of 16, which torch draws in another way
  const at::TensorOptions like(at::kFloat);
  SeededNoise batch({7, 4294967295, 7}, shape, at::kFloat, like),
      alone({4294967295}, shape, at::kFloat, like);
  for (int draw = 0; draw < 3; ++draw) {
    const at::Tensor all = batch.draw();
    EXPECT_TRUE(all[1].equal(alone.draw()[0]));
    EXPECT_TRUE(all[0].equal(all[2]));
    EXPECT_FALSE(all[0].equal(all[1]));
  }
}

TEST(Noise, DrawnInHalfPrecisionIsAnotherPicture) {
  const at::TensorOptions like(at::kFloat);
  SeededNoise single({1}, {4, 8, 8}, at::kFloat, like), half({1}, {4, 8, 8}, at::kHalf, like);
  const at::Tensor drawn = half.draw();
  EXPECT_EQ(drawn.scalar_type(), at::kFloat);
  EXPECT_GT((single.draw() - drawn).abs().max().item<double>(), 0.5);
}

TEST(Samplers, AreFoundByNameAndAlias) {
  EXPECT_EQ(find_sampler("DDIM").name, "ddim");
  EXPECT_EQ(find_sampler("DDPMScheduler").name, "ddpm");
  try {
    find_sampler("dddim");
    FAIL() << "found";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'ddim'"), std::string::npos) << error.what();
  }
}

TEST(Samplers, TellTheObserverEveryStepAndStopWhereItThrows) {
  const NoiseSchedule schedule(kStableDiffusion);
  const Walk walk = build_walk(schedule, {.spacing = &find_spacing("trailing"), .steps = 5});
  for (const SamplerInfo& sampler : samplers()) {
    SeededNoise noise({1}, {1, 2}, at::kFloat, at::TensorOptions(at::kDouble));
    std::vector<int64_t> seen;
    const StepObserver observer = [&](int64_t step, int64_t steps, const at::Tensor&) {
      EXPECT_EQ(steps, 5);
      seen.push_back(step);
      if (step == 3) throw InterruptedError("stop");
    };
    EXPECT_THROW(sample(sampler, testing::gaussian_denoiser(0, 1), noise.draw(), walk, noise, {}, observer),
                 InterruptedError);
    EXPECT_EQ(seen, (std::vector<int64_t>{1, 2, 3}));
  }
}

}  // namespace
}  // namespace darkroom
