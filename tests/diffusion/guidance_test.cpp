// What must hold of guidance whatever the network: spec 8.4.
#include "darkroom/diffusion/guidance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "darkroom/base/error.h"
#include "darkroom/diffusion/schedule.h"
#include "support/golden.h"

namespace darkroom {
namespace {

using testing::worst_difference;
using Conditioning = Branch::Conditioning;

const Level kLevel{0.6, 0.8, 500};

at::Tensor image_batch(double phase) {
  return (at::arange(2 * 3 * 4 * 5, at::kDouble) * 0.37 + phase).sin().view({2, 3, 4, 5}) *
         at::tensor({1.0, 2.5}, at::kDouble).view({2, 1, 1, 1});
}

/// Answers by branch; counts what it is asked.
struct FixedNetwork {
  at::Tensor prompt = image_batch(0.1), second = image_batch(1), negative = image_batch(0.5),
             empty = image_batch(2), weaker = image_batch(0.2);
  int calls = 0, asked = 0;

  Branches branches() {
    return [this](const at::Tensor&, const Level&, const std::vector<Branch>& wanted) {
      ++calls;
      asked += static_cast<int>(wanted.size());
      std::vector<at::Tensor> raw;
      for (const Branch& branch : wanted) raw.push_back(answer(branch));
      return raw;
    };
  }

  at::Tensor answer(const Branch& branch) const {
    if (branch.weaker) return weaker;
    if (branch.conditioning == Conditioning::negative) return negative;
    if (branch.conditioning == Conditioning::empty) return empty;
    return branch.prompt == 0 ? prompt : second;
  }
};

GuidanceScale always(std::optional<double> scale) {
  return [scale](const Level&) { return scale; };
}

class GuidanceTest : public ::testing::Test {
 protected:
  FixedNetwork network_;
  const at::Tensor x_ = image_batch(3);
  std::vector<double> weights_ = {1};
  OutputKind kind_;

  BranchedDenoiser denoiser() { return {network_.branches(), kind_, weights_}; }

  Prediction predict(const Compare& compare, std::optional<double> scale, GuideOptions options = {}) {
    return guide(compare, prompts_alone(denoiser()), kind_.type, always(scale), options)(x_, kLevel);
  }
  at::Tensor raw(const Compare& compare, std::optional<double> scale, GuideOptions options = {}) {
    return predict(compare, scale, options).eps;
  }
  at::Tensor cfg(std::optional<double> scale, GuideOptions options = {}) {
    return raw(classifier_free(denoiser()), scale, options);
  }
};

TEST_F(GuidanceTest, AtScaleOneIsTheConditionalAndIsLinearInTheScale) {
  EXPECT_LT(worst_difference(cfg(1), network_.prompt), 1e-15);
  EXPECT_LT(worst_difference(cfg(0), network_.negative), 1e-15);
  EXPECT_LT(worst_difference(cfg(3) * 0.25 + cfg(7) * 0.75, cfg(6)), 1e-14);
}

TEST_F(GuidanceTest, OffAsksAboutThePromptAlone) {
  EXPECT_TRUE(cfg(std::nullopt).equal(network_.prompt));
  EXPECT_EQ(network_.asked, 1);
  cfg(7.5);
  EXPECT_EQ(network_.asked, 3);
  EXPECT_EQ(network_.calls, 2);
}

TEST_F(GuidanceTest, SwappedHalvesAndOneMinusTheScaleAreTheSame) {
  const at::Tensor guided = cfg(3.5);
  std::swap(network_.prompt, network_.negative);
  EXPECT_LT(worst_difference(cfg(1 - 3.5), guided), 1e-14);
}

TEST_F(GuidanceTest, EqualHalvesMakeEveryScaleTheSame) {
  network_.negative = network_.empty = network_.weaker = network_.prompt;
  const ProjectionOptions projection{.eta = 0.3, .norm = 1, .momentum = -0.5};
  for (const Compare& compare : {classifier_free(denoiser()), perpendicular_negative(denoiser(), 0.7),
                                 autoguidance(denoiser()), optimised_scale(classifier_free(denoiser())),
                                 adaptive_projection(classifier_free(denoiser()), projection)})
    for (const double scale : {0.5, 1.0, 20.0})
      EXPECT_LT(worst_difference(raw(compare, scale), network_.prompt), 1e-7);
}

at::Tensor deviation(const at::Tensor& x) { return x.flatten(1).std(1); }

TEST_F(GuidanceTest, RescaleByNothingIsTheIdentityAndByOneGivesTheDeviationOfTheConditional) {
  EXPECT_TRUE(cfg(7.5, {.rescale = 0}).equal(cfg(7.5)));
  EXPECT_LT(worst_difference(deviation(cfg(7.5, {.rescale = 1})), deviation(network_.prompt)), 1e-14);
  EXPECT_GT(worst_difference(deviation(cfg(7.5)), deviation(network_.prompt)), 0.5);
}

TEST_F(GuidanceTest, ProjectionWithNeutralOptionsIsTheIdentity) {
  EXPECT_TRUE(raw(adaptive_projection(classifier_free(denoiser()), {}), 7.5).equal(cfg(7.5)));
}

TEST_F(GuidanceTest, ProjectionRemovesWhatIsParallelAndShortensWhatIsLong) {
  const Comparison c = adaptive_projection(classifier_free(denoiser()), {.eta = 0, .norm = 0.5})(x_, kLevel);
  const at::Tensor parallel = (c.towards * c.conditional).flatten(1).sum(1);
  EXPECT_LT(parallel.abs().max().item<double>(), 1e-13);
  EXPECT_LE(c.towards.flatten(1).norm(2, 1).max().item<double>(), 0.5 + 1e-12);
}

TEST_F(GuidanceTest, MomentumSumsTheCallsBeforeAndANewOneStartsAfresh) {
  const auto make = [&] { return adaptive_projection(classifier_free(denoiser()), {.momentum = 0.5}); };
  const Compare compare = make();
  const at::Tensor difference = network_.prompt - network_.negative;
  EXPECT_LT(worst_difference(compare(x_, kLevel).towards, difference), 1e-15);
  const Compare copy = compare;  // of the same walk
  EXPECT_LT(worst_difference(copy(x_, kLevel).towards, 1.5 * difference), 1e-14);
  EXPECT_LT(worst_difference(compare(x_, kLevel).towards, 1.75 * difference), 1e-14);
  EXPECT_LT(worst_difference(make()(x_, kLevel).towards, difference), 1e-15);
}

TEST_F(GuidanceTest, TheOptimisedScaleLeavesABasePerpendicularToTheRest) {
  const Comparison c = optimised_scale(classifier_free(denoiser()))(x_, kLevel);
  EXPECT_LT(((c.conditional - c.base) * c.base).flatten(1).sum(1).abs().max().item<double>(), 1e-7);
  EXPECT_LT(worst_difference(c.base + c.towards, network_.prompt), 1e-14);
}

TEST_F(GuidanceTest, AParallelNegativePromptCountsForNothing) {
  network_.negative = network_.empty + 3 * (network_.prompt - network_.empty);
  const at::Tensor without = network_.empty + 6 * (network_.prompt - network_.empty);
  EXPECT_LT(worst_difference(raw(perpendicular_negative(denoiser(), 0.9), 6), without), 1e-13);
}

TEST_F(GuidanceTest, APromptThatSaysNothingLeavesANumber) {
  network_.empty = network_.prompt;
  const at::Tensor expected = network_.prompt - 6 * (network_.negative - network_.prompt);
  EXPECT_LT(worst_difference(raw(perpendicular_negative(denoiser(), 1), 6), expected), 1e-13);
}

TEST_F(GuidanceTest, ComposedPromptsAddUp) {
  weights_ = {0.75, 0.25};
  network_.second = network_.prompt;
  EXPECT_LT(worst_difference(cfg(7.5), (weights_ = {1}, cfg(7.5))), 1e-13);
  weights_ = {1, 0};
  network_.second = image_batch(9);
  EXPECT_LT(worst_difference(cfg(7.5), (weights_ = {1}, cfg(7.5))), 1e-13);
}

TEST_F(GuidanceTest, TheWeightOfAPromptAloneMultipliesTheScale) {
  const at::Tensor expected = cfg(1.5 * 4);
  weights_ = {1.5};
  EXPECT_LT(worst_difference(cfg(4), expected), 1e-14);
}

TEST_F(GuidanceTest, OffComposedPromptsAskAboutTheNegativeOnlyWhereTheWeightsNeedIt) {
  weights_ = {0.7, 0.2, 0.1};  // does not sum to 1 exactly
  cfg(std::nullopt);
  EXPECT_EQ(network_.asked, 3);
  weights_ = {1.2, 0.6};
  EXPECT_LT(worst_difference(cfg(std::nullopt), cfg(1)), 1e-14);
  EXPECT_EQ(network_.asked, 9);
}

TEST_F(GuidanceTest, CfgPlusPlusTakesItsNoiseFromTheBase) {
  for (const PredictionType type : {PredictionType::epsilon, PredictionType::v, PredictionType::sample}) {
    kind_.type = type;
    const Prediction p = predict(classifier_free(denoiser()), 0.6, {.cfg_pp = true});
    EXPECT_TRUE(p.eps.equal(interpret(type, network_.negative, x_, kLevel).eps));
    EXPECT_TRUE(p.x0.equal(predict(classifier_free(denoiser()), 0.6).x0));
  }
}

TEST_F(GuidanceTest, TheVarianceIsTheFirstPrompts) {
  kind_.learned_variance = true;
  const at::Tensor variance = image_batch(8);
  network_.prompt = at::cat({network_.prompt, variance}, 1);
  network_.negative = at::cat({network_.negative, image_batch(7)}, 1);
  for (const std::optional<double> scale : {std::optional<double>(5), std::optional<double>()}) {
    const Prediction p = predict(classifier_free(denoiser()), scale);
    EXPECT_EQ(p.eps.sizes(), x_.sizes());
    EXPECT_TRUE(p.variance.equal(variance));
  }
}

// A network at half precision: guidance is computed in the dtype of x.
TEST_F(GuidanceTest, IsComputedAtThePrecisionOfX) {
  for (at::Tensor* output : {&network_.prompt, &network_.negative, &network_.empty})
    *output = output->to(at::kHalf);
  const Compare compare = adaptive_projection(optimised_scale(perpendicular_negative(denoiser(), 0.5)),
                                              {.eta = 0.5, .norm = 3, .momentum = 0.1});
  const Prediction p = predict(compare, 5, {.rescale = 0.5, .cfg_pp = true});
  EXPECT_EQ(p.x0.scalar_type(), at::kDouble);
  EXPECT_EQ(p.eps.scalar_type(), at::kDouble);
}

TEST_F(GuidanceTest, AnImageDoesNotDependOnItsBatch) {
  const auto make = [&] {
    return adaptive_projection(optimised_scale(perpendicular_negative(denoiser(), 0.5)),
                               {.eta = 0.5, .norm = 1, .momentum = 0.1});
  };
  const at::Tensor both = raw(make(), 5, {.rescale = 0.5});
  for (at::Tensor* output : {&network_.prompt, &network_.negative, &network_.empty})
    *output = output->narrow(0, 1, 1);
  const Prediction alone = guide(make(), prompts_alone(denoiser()), kind_.type, always(5), {.rescale = 0.5})(
      x_.narrow(0, 1, 1), kLevel);
  EXPECT_LT(worst_difference(alone.eps[0], both[1]), 1e-14);
}

// Tensors without data: whatever reads a number from the device throws.
TEST(Guidance, NeverWaitsForTheDevice) {
  const at::Tensor x = at::empty({2, 4, 8, 8}, at::TensorOptions(at::kMeta).dtype(at::kFloat));
  const BranchedDenoiser denoiser{
      [](const at::Tensor& sample, const Level&, const std::vector<Branch>& wanted) {
        return std::vector<at::Tensor>(wanted.size(), at::empty_like(sample));
      },
      {},
      {1.5, 0.5}};
  Walk walk;
  walk.steps = {{kLevel, {}}};
  for (const Compare& compare : {classifier_free(denoiser), perpendicular_negative(denoiser, 0.5)}) {
    const Denoise denoise =
        zero_init(guide(adaptive_projection(optimised_scale(compare), {.eta = 0, .norm = 1, .momentum = 0.5}),
                        prompts_alone(denoiser), PredictionType::v, scale_over(walk, {.scale = 7}),
                        {.rescale = 0.5, .cfg_pp = true}),
                  PredictionType::v, walk, 0);
    EXPECT_EQ(denoise(x, kLevel).x0.sizes(), x.sizes());
    EXPECT_EQ(denoise(x, kLevel).eps.sizes(), x.sizes());
  }
}

class ScaleTest : public ::testing::Test {
 protected:
  ScaleTest() {
    const NoiseSchedule schedule({.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012});
    walk_ = build_walk(schedule, {.spacing = &find_spacing("trailing"), .steps = 10});
  }

  /// The steps at whose levels there is a scale.
  std::vector<size_t> guided(const ScaleOptions& options) const {
    const GuidanceScale scale = scale_over(walk_, options);
    std::vector<size_t> steps;
    for (size_t i = 0; i < walk_.steps.size(); ++i)
      if (scale(walk_.steps[i].at)) steps.push_back(i);
    return steps;
  }

  Walk walk_;
};

TEST_F(ScaleTest, IsOnForTheStepsOfTheInterval) {
  EXPECT_EQ(guided({.scale = 5}).size(), 10u);
  EXPECT_EQ(guided({.scale = 5, .start = 0.25, .stop = 0.59}), (std::vector<size_t>{2, 3, 4}));
  EXPECT_EQ(guided({.scale = 1}).size(), 0u);
  EXPECT_EQ(guided({.scale = 1, .cfg_pp = true}).size(), 10u);
}

// What DPM2, Heun and churn ask about lies between two steps' levels, or above the first.
TEST_F(ScaleTest, BetweenTwoStepsIsTheFormers) {
  const GuidanceScale scale = scale_over(walk_, {.scale = 5, .start = 0.2, .stop = 0.3});
  const auto between = [&](size_t i) {
    const Level &high = walk_.steps[i].at, &low = walk_.steps[i + 1].at;
    const double ratio = std::sqrt(high.sigma / high.alpha * (low.sigma / low.alpha));
    const double alpha = 1 / std::sqrt(1 + ratio * ratio);
    return Level{alpha, ratio * alpha, (high.timestep + low.timestep) / 2};
  };
  EXPECT_FALSE(scale(between(1)));
  EXPECT_TRUE(scale(between(2)));
  EXPECT_FALSE(scale(between(3)));
  Level second = walk_.steps[2].at;
  second.sigma *= 1 + 1e-9;  // a rounding error does not move it into step 1
  EXPECT_TRUE(scale(second));
  EXPECT_FALSE(scale({0, 1, 1000}));
  EXPECT_TRUE(scale_over(walk_, {.scale = 5, .stop = 0.1})({0, 1, 1000}));
  EXPECT_TRUE(scale_over(walk_, {.scale = 5, .start = 0.9})({1, 0, 0}));
}

TEST_F(ScaleTest, GrowsAlongItsScheduleWithTheMeanAskedFor) {
  for (const ScaleSchedule schedule : {ScaleSchedule::linear, ScaleSchedule::cosine}) {
    const GuidanceScale scale = scale_over(walk_, {.scale = 5, .schedule = schedule});
    double sum = 0;
    for (int t = 0; t < 1000; ++t) sum += *scale({0.6, 0.8, t + 0.5});
    EXPECT_NEAR(sum / 1000, 5, 1e-9);
    EXPECT_FALSE(scale({0.6, 0.8, 1000}));
    EXPECT_NEAR(*scale({0.6, 0.8, 0}), 9, 1e-12);
  }
  EXPECT_THROW(find_scale_schedule("liner"), UsageError);
}

TEST_F(ScaleTest, ZeroInitCallsNoNetworkInTheFirstSteps) {
  int calls = 0;
  const Denoise counted = [&](const at::Tensor& x, const Level& level) {
    ++calls;
    return interpret(PredictionType::epsilon, at::ones_like(x), x, level);
  };
  const Denoise denoise = zero_init(counted, PredictionType::epsilon, walk_, 2);
  const at::Tensor x = at::ones({1, 2}, at::kDouble);
  for (size_t i = 0; i < walk_.steps.size(); ++i)
    EXPECT_EQ(denoise(x, walk_.steps[i].at).eps.sum().item<double>(), i < 2 ? 0 : 2);
  EXPECT_EQ(calls, 8);
}

}  // namespace
}  // namespace darkroom
