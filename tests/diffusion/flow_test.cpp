// Rectified flow's grid: what the recorded walks do not show.
#include "darkroom/diffusion/flow.h"

#include <gtest/gtest.h>

#include <cmath>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

WalkOptions options_of(const std::string& spacing, int64_t steps) {
  return {.spacing = &find_spacing(spacing), .steps = steps, .grid = Grid::sigma};
}

double last_sigma(const FlowSchedule& schedule, const WalkOptions& options) {
  return build_walk(schedule, options).steps.back().at.sigma;
}

// Stable Diffusion 3 in diffusers ends at .008929; shifted once, as k-diffusion's programs do, at .002994.
TEST(Flow, AFixedShiftIsAppliedToTheLastStepTwiceInDiffusersAlone) {
  const FlowSchedule schedule = make_flow_schedule({.shift = 3}, 1000, 128, 128);
  WalkOptions options = options_of("flow", 28);
  EXPECT_NEAR(last_sigma(schedule, options), 0.008929, 1e-6);
  options.convention = Convention::k;
  EXPECT_NEAR(last_sigma(schedule, options), 0.002994, 1e-6);
}

TEST(Flow, TheShiftGrowsWithThePicture) {
  const FlowSpec spec{.dynamic = FlowSpec::Dynamic{}};
  EXPECT_NEAR(std::log(make_flow_schedule(spec, 1000, 128, 128).shift), 1.15, 1e-12);
  EXPECT_NEAR(std::log(make_flow_schedule(spec, 1000, 64, 64).shift), 0.63, 1e-12);
  EXPECT_EQ(make_flow_schedule(spec, 1000, 64, 64, 5).shift, 5);
}

TEST(Flow, LevelsBetweenTheGridsAreFoundByNoiseRatioAndByTimestep) {
  const Walk walk = build_walk(FlowSchedule{}, options_of("flow", 4));
  const Level level = walk.level_at(3);
  EXPECT_EQ(level.sigma, 0.75);
  EXPECT_EQ(level.alpha, 0.25);
  EXPECT_EQ(level.timestep, 750);
  EXPECT_EQ(walk.level_at(INFINITY).sigma, 1);
  EXPECT_EQ(walk.at_timestep(750).sigma, 0.75);
}

TEST(Flow, NoiseLevelsOverOneAreRefused) {
  WalkOptions options = options_of("karras", 5);
  options.sigma_max = 1;
  EXPECT_EQ(build_walk(FlowSchedule{}, options).steps.front().at.alpha, 0);
  options.sigma_max = 14.6;
  EXPECT_THROW(build_walk(FlowSchedule{}, options), UsageError);
}

TEST(Flow, SchedulesOfTrainedLevelsAreRefused) {
  for (const char* name : {"leading", "trailing", "simple", "normal", "kl_optimal", "align-your-steps"})
    EXPECT_THROW(build_walk(FlowSchedule{}, options_of(name, 4)), UsageError) << name;
  for (const char* name : {"flow", "karras", "exponential", "beta", "linear_quadratic"})
    EXPECT_EQ(build_walk(FlowSchedule{}, options_of(name, 4)).steps.size(), 4) << name;
  WalkOptions trained = options_of("flow", 4);
  trained.grid = Grid::trained;
  EXPECT_THROW(build_walk(FlowSchedule{}, trained), UsageError);
}

}  // namespace
}  // namespace darkroom
