// The curves that no recorded walk uses, lists, and what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "darkroom/base/error.h"
#include "darkroom/diffusion/walk.h"
#include "diffusion/sigma_curves.h"

namespace darkroom {
namespace {

const NoiseSchedule& stable_diffusion() {
  static const NoiseSchedule schedule({.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012});
  return schedule;
}

SigmaRange range(int64_t steps) {
  const std::vector<float>& sigmas = stable_diffusion().sigmas();
  return {sigmas.back(), sigmas.front(), steps, &stable_diffusion()};
}

void expect_levels(const std::vector<double>& levels, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(levels.size(), expected.size());
  for (size_t i = 0; i < levels.size(); ++i) EXPECT_NEAR(levels[i], expected[i], tolerance) << i;
}

Walk walk_of(const std::string& spacing, WalkOptions options) {
  options.spacing = &find_spacing(spacing);
  return build_walk(stable_diffusion(), options);
}

std::string fault_of(const std::string& spacing, const WalkOptions& options) {
  try {
    walk_of(spacing, options);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

// scipy.stats.beta.ppf(1 - numpy.linspace(0, 1, 8), 0.6, 0.6), scipy 1.17.1.
TEST(Spacing, BetaFollowsTheQuantilesOfTheBetaDistribution) {
  expect_levels(beta_sigmas({1, 0, 8}),
                {1.0, 0.9288579738296403, 0.7831485673796132, 0.5985700470468549, 0.4014299529531451,
                 0.21685143262038686, 0.07114202617035982, 0.0},
                1e-13);
}

// k_diffusion-style numpy transcriptions of A1111's kl_optimal and ComfyUI's other schedules, on SD's levels.
TEST(Spacing, OtherProgramsCurvesGiveTheirNumbers) {
  expect_levels(kl_optimal_sigmas(range(4)), {14.6146469, 2.14274185, 0.961588415, 0.419836532, 0.0291675348},
                1e-6);
  expect_levels(laplace_sigmas(range(5)), {14.6146469, 1.41419942, 1, 0.707113852, 0.0291675348}, 1e-6);
  expect_levels(linear_quadratic_sigmas(range(1)), {14.6146469}, 1e-6);
  expect_levels(linear_quadratic_sigmas(range(5)),
                {14.6146469, 14.4319638, 14.2492807, 12.5442386, 7.79447835}, 1e-5);
  expect_levels(ddim_uniform_sigmas(range(4)), {4.11669827, 1.62369299, 0.69839859, 0.041314479}, 1e-5);
  EXPECT_EQ(ddim_uniform_sigmas(range(7)).size(), 8);  // 999 / 142 and one more
}

TEST(Spacing, KlOptimalEndsAboveZero) {
  const Walk walk = walk_of("kl_optimal", {.steps = 6, .grid = Grid::sigma, .convention = Convention::k});
  ASSERT_EQ(walk.steps.size(), 6);
  EXPECT_NEAR(walk.steps.back().to.sigma, stable_diffusion().sigmas().front(), 1e-9);
}

const std::vector<double> kAligned = {14.615, 6.475, 3.861, 2.697, 1.886, 1.396,
                                      0.963,  0.652, 0.399, 0.152, 0.029};

TEST(Spacing, AlignYourStepsIsTheTableAtItsOwnCount) {
  SigmaRange own = range(10);
  own.aligned = kAligned;
  expect_levels(aligned_sigmas(own), {kAligned.begin(), kAligned.end() - 1}, 1e-12);
  own.steps = 5;
  expect_levels(aligned_sigmas(own), {14.615, 3.861, 1.886, 0.963, 0.399}, 1e-12);
  own.steps = 20;
  EXPECT_NEAR(aligned_sigmas(own)[1], std::sqrt(14.615 * 6.475), 1e-12);
  EXPECT_NE(fault_of("align-your-steps", {.grid = Grid::sigma}).find("brings no align-your-steps levels"),
            std::string::npos);
}

TEST(Spacing, ListsAreWalkedAsTheyAre) {
  const Walk trained = walk_of("timesteps", {.steps = 3, .timesteps = {900, 500, 7}});
  EXPECT_EQ(trained.steps[0].to.timestep, 500);
  EXPECT_EQ(trained.steps[2].at.sigma, stable_diffusion().at(7).sigma);
  const Walk sigma = walk_of("sigmas", {.steps = 2, .grid = Grid::sigma, .sigmas = {14.615, 1}});
  EXPECT_EQ(sigma.steps[1].at.sigma, 1);
  EXPECT_EQ(sigma.steps[1].to.sigma, 0);
}

TEST(Spacing, WhatMakesNoWalkIsRefusedWithTheReason) {
  struct Case {
    std::string spacing;
    WalkOptions options;
    std::string said;
  };
  const std::vector<Case> cases = {
      {"sigmas", {.grid = Grid::sigma}, "needs a list: --sigmas"},
      {"timesteps", {.grid = Grid::sigma}, "needs a list: --timesteps"},
      {"sigmas", {.grid = Grid::sigma, .sigmas = {20, 1}}, "--sigmas: 20 is out of range"},
      {"sigmas", {.grid = Grid::sigma, .sigmas = {1, 2}}, "--sigmas: 2 does not descend from 1"},
      {"sigmas", {.grid = Grid::trained, .sigmas = {2, 1}}, "which this sampler does not visit"},
      {"timesteps", {.timesteps = {1000, 1}}, "--timesteps: 1000 is out of range (allowed: 0 to 999)"},
      {"timesteps", {.timesteps = {9, 9}}, "--timesteps: 9 does not descend from 9"},
      {"timesteps", {.timesteps = {9.5}}, "9.5 lies between the trained timesteps"},
      {"simple", {.steps = 1001, .grid = Grid::multistep}, "use fewer steps or another schedule"},
      {"karras", {.steps = 5, .grid = Grid::multistep, .sigma_min = 20.}, "does not descend from"},
  };
  for (const Case& c : cases) {
    const std::string fault = fault_of(c.spacing, c.options);
    EXPECT_NE(fault.find(c.said), std::string::npos) << "expected: " << c.said << "\nsaid: " << fault;
  }
}

TEST(Spacing, KarrasOnTheCosineScheduleNeedsFractionalTimesteps) {
  const NoiseSchedule cosine({.kind = "cosine"});
  WalkOptions options{.spacing = &find_spacing("karras"), .steps = 20, .grid = Grid::multistep};
  EXPECT_THROW(build_walk(cosine, options), UsageError);
  options.convention = Convention::k;
  EXPECT_EQ(build_walk(cosine, options).steps.size(), 20);
}

}  // namespace
}  // namespace darkroom
