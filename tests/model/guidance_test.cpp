// Guidance through the whole path, and which of its options go together.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "darkroom/base/error.h"
#include "darkroom/model/pipeline.h"
#include "support/collected.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

const fs::path kModels = DARKROOM_TEST_DATA "/models";

Manifest tiny() { return read_manifest(kModels / "tiny"); }

/// The tiny model with the other one's denoiser, which is as large but has weights of its own.
Manifest other_tiny() {
  const Manifest source = read_manifest(kModels / "tiny-v");
  Manifest manifest = tiny();
  manifest.name = "other";
  manifest.networks["unet"].file = "../tiny-v/" + source.networks.at("unet").file;
  manifest.networks["unet"].sha256 = source.networks.at("unet").sha256;
  return manifest;
}

class PipelineGuidance : public ::testing::Test {
 protected:
  PipelineGuidance() { settings_.width = settings_.height = 32; }

  Outcome make(const Request& request) { return pipeline_.generate(settings_, {request}).front(); }

  Settings settings_ = default_settings(tiny());
  testing::Collected diagnostics_;
  Pipeline pipeline_{tiny(), {}, diagnostics_};
  const Request apple_{"a red apple", std::nullopt, 1, "1"}, dogs_{"two small dogs", "a cat", 7, "2"};
};

int largest_difference(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.fault + b.fault, "");
  EXPECT_EQ(a.image.rgb.size(), b.image.rgb.size());
  int largest = 0;
  for (size_t i = 0; i < a.image.rgb.size(); ++i)
    largest = std::max(largest, std::abs(a.image.rgb[i] - b.image.rgb[i]));
  return largest;
}

TEST_F(PipelineGuidance, CountsWhatTheNetworkSawAndWhatWasSaved) {
  const auto counted = [&](const std::function<void(Settings&)>& change) {
    settings_ = default_settings(tiny());  // 5 steps
    change(settings_);
    const Evaluations evaluations = make(dogs_).evaluations;
    return std::pair(evaluations.made, evaluations.saved);
  };
  using Counts = std::pair<int64_t, int64_t>;
  EXPECT_EQ(counted([](Settings&) {}), Counts(10, 0));
  EXPECT_EQ(counted([](Settings& s) { s.cfg_scale = 1; }), Counts(5, 0));
  EXPECT_EQ(counted([](Settings& s) { s.guidance_start = 0.2, s.guidance_stop = 0.6; }), Counts(7, 3));
  EXPECT_EQ(counted([](Settings& s) { s.perp_neg = 1, s.guidance_stop = 0.8; }), Counts(13, 2));
  EXPECT_EQ(counted([](Settings& s) { s.zero_init_steps = 1; }), Counts(8, 2));
}

TEST_F(PipelineGuidance, OfAnImageIsTheSameInEveryBatch) {
  settings_.guidance_rescale = 0.5;
  settings_.guidance_schedule = "cosine";
  settings_.apg_eta = 0.3;
  settings_.apg_norm = 8;
  settings_.apg_momentum = -0.5;
  settings_.cfg_zero = true;
  settings_.perp_neg = 0.8;
  Request apple = apple_;
  apple.negative_prompt = "a green pear";
  const std::vector<Outcome> both = pipeline_.generate(settings_, {apple, dogs_});
  EXPECT_LE(largest_difference(both[0], make(apple)), 1);
  EXPECT_LE(largest_difference(both[1], make(dogs_)), 1);
  EXPECT_GT(largest_difference(both[0], both[1]), 8);
}

TEST_F(PipelineGuidance, MomentumBeginsAfreshWithEveryPicture) {
  settings_.apg_momentum = 0.9;
  const Outcome first = make(apple_);
  EXPECT_EQ(make(apple_).image.rgb, first.image.rgb);
}

TEST_F(PipelineGuidance, APerpendicularNegativeThatIsEmptyChangesNothing) {
  Request empty = apple_;
  empty.negative_prompt = "";
  const Outcome plain = make(empty);
  settings_.perp_neg = 1;
  EXPECT_LE(largest_difference(make(empty), plain), 1);
}

TEST_F(PipelineGuidance, APerpendicularNegativeIsNeitherNoneNorAPlainOne) {
  Request request = apple_;
  const Outcome none = make(request);
  request.negative_prompt = "a cat";
  const Outcome plain = make(request);
  settings_.perp_neg = 1;
  const Outcome perpendicular = make(request);
  EXPECT_GT(largest_difference(perpendicular, none), 1);
  EXPECT_GT(largest_difference(perpendicular, plain), 1);
}

TEST_F(PipelineGuidance, ComposedPromptsAddUp) {
  const Outcome plain = make(apple_);
  settings_.compose = true;
  Request twice = apple_;
  twice.prompt = "a red apple :0.4 AND a red apple :0.6";
  EXPECT_LE(largest_difference(make(twice), plain), 1);
  twice.prompt = "a red apple :0.4 AND a small dog :0.6";
  EXPECT_GT(largest_difference(make(twice), plain), 1);
  EXPECT_EQ(make(twice).evaluations.made, 15);
  settings_.cfg_scale = 1;
  EXPECT_EQ(make(twice).evaluations.made, 10);
  EXPECT_THROW(pipeline_.generate(settings_, {twice, apple_}), UsageError);
}

TEST_F(PipelineGuidance, AutoguidanceByTheModelItselfIsNone) {
  Settings unguided = settings_;
  unguided.cfg_scale = 1;
  const Outcome plain = pipeline_.generate(unguided, {apple_}).front();
  settings_.cfg_scale = 3;
  settings_.autoguided = true;
  Pipeline by_itself(tiny(), {.weaker = tiny()}, diagnostics_),
      by_another(tiny(), {.weaker = other_tiny()}, diagnostics_);
  const Outcome outcome = by_itself.generate(settings_, {apple_}).front();
  EXPECT_LE(largest_difference(outcome, plain), 1);
  EXPECT_EQ(outcome.evaluations.made, 10);
  EXPECT_GT(largest_difference(by_another.generate(settings_, {apple_}).front(), plain), 1);
  EXPECT_THROW(make(apple_), UsageError);  // this pipeline has no weaker model
}

TEST(WeakerModel, ThatDoesNotFitIsRefusedWithTheReason) {
  const auto fault = [](const std::function<void(Manifest&)>& change) -> std::string {
    Manifest weaker = other_tiny();
    change(weaker);
    try {
      check_weaker(tiny(), weaker);
      return "";
    } catch (const UsageError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(fault([](Manifest&) {}), "");
  EXPECT_EQ(fault([](Manifest& m) { m.networks["unet"].inputs.push_back("residual_0"); }), "");
  const std::vector<std::pair<std::function<void(Manifest&)>, std::string>> cases = {
      {[](Manifest& m) { m.stages[0].state[0] = "8"; }, "latents have another shape"},
      {[](Manifest& m) { m.output.factor = 4; }, "latents have another shape"},
      {[](Manifest& m) { m.stages[0].prediction = "v"; }, "predicts something else"},
      {[](Manifest& m) { m.stages[0].variance = "learned_range"; }, "predicts something else"},
      {[](Manifest& m) { m.stages[0].schedule.beta_end = 0.02; }, "another noise schedule"},
      {[](Manifest& m) { m.networks["unet"].inputs.push_back("class"); }, "takes other inputs"},
      {[](Manifest& m) { m.networks["text"].sha256[0] = 'x'; }, "text encoder is another"},
      {[](Manifest& m) { m.tokenizers["clip"].length = 5; }, "text encoder is another"},
  };
  for (const auto& [change, reason] : cases)
    EXPECT_NE(fault(change).find("'other' does not fit 'tiny': "), std::string::npos) << reason;
  for (const auto& [change, reason] : cases)
    EXPECT_NE(fault(change).find(reason), std::string::npos) << reason;
  testing::Collected diagnostics;
  Manifest weaker = other_tiny();
  weaker.output.factor = 4;
  EXPECT_THROW(Pipeline(tiny(), {.weaker = weaker}, diagnostics), UsageError);
  weaker = other_tiny();
  weaker.networks["unet"].sha256 = tiny().networks.at("unet").sha256;
  EXPECT_THROW(Pipeline(tiny(), {.weaker = weaker}, diagnostics), ModelError);
}

std::string fault_after(const std::function<void(Settings&)>& change, const char* variance = "fixed_small") {
  Manifest manifest = tiny();
  manifest.stages[0].variance = variance;
  Settings settings = default_settings(manifest);
  change(settings);
  try {
    check_settings(settings, manifest);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(GuidanceSettings, ThatMakeNoSenseTogetherAreRefusedWithTheReason) {
  const std::vector<std::pair<std::function<void(Settings&)>, std::string>> cases = {
      {[](Settings& s) { s.guidance_schedule = "liner"; }, "did you mean 'linear'"},
      {[](Settings& s) { s.guidance_start = 0.5, s.guidance_stop = 0.5; }, "leave none of 5 steps"},
      {[](Settings& s) { s.guidance_start = 0.65, s.guidance_stop = 0.75; }, "leave none of 5 steps"},
      {[](Settings& s) { s.cfg_pp = true; }, "--cfg-pp needs a --cfg-scale of 0 to 1"},
      {[](Settings& s) { s.cfg_pp = true, s.cfg_scale = 0.5, s.guidance_schedule = "linear"; },
       "--guidance-schedule begins at scale 1"},
      {[](Settings& s) { s.cfg_pp = s.autoguided = true, s.cfg_scale = 0.5; }, "--autoguidance does not ask"},
      {[](Settings& s) { s.autoguided = true, s.perp_neg = 1; }, "give one of them"},
      {[](Settings& s) { s.autoguided = s.compose = true; }, "--autoguidance compares one prompt"},
      {[](Settings& s) { s.zero_init_steps = 5; }, "leaves none of 5 steps to the network"},
  };
  for (const auto& [change, reason] : cases)
    EXPECT_NE(fault_after(change).find(reason), std::string::npos) << reason << "\n" << fault_after(change);
  EXPECT_NE(fault_after([](Settings& s) { s.sampler = "ddpm", s.zero_init_steps = 1; }, "learned_range")
                .find("variance"),
            std::string::npos);
}

TEST(GuidanceSettings, WithoutGuidanceAreRefusedByName) {
  const std::vector<std::pair<std::function<void(Settings&)>, std::string>> cases = {
      {[](Settings& s) { s.guidance_start = 0.2; }, "--guidance-start"},
      {[](Settings& s) { s.guidance_stop = 0.8; }, "--guidance-stop"},
      {[](Settings& s) { s.guidance_schedule = "cosine"; }, "--guidance-schedule"},
      {[](Settings& s) { s.guidance_rescale = 0.7; }, "--guidance-rescale"},
      {[](Settings& s) { s.apg_eta = 0; }, "--apg-eta"},
      {[](Settings& s) { s.apg_norm = 5; }, "--apg-norm"},
      {[](Settings& s) { s.apg_momentum = -0.5; }, "--apg-momentum"},
      {[](Settings& s) { s.cfg_zero = true; }, "--cfg-zero"},
      {[](Settings& s) { s.perp_neg = 1; }, "--perp-neg"},
      {[](Settings& s) { s.autoguided = true; }, "--autoguidance"},
  };
  for (const auto& [change, option] : cases) {
    EXPECT_EQ(fault_after(change), "");
    const std::string fault = fault_after([&](Settings& s) { change(s), s.cfg_scale = 1; });
    EXPECT_NE(fault.find(option + " has no effect without guidance"), std::string::npos) << fault;
  }
}

TEST(GuidanceSettings, ANegativePromptIsNeededOrUnread) {
  Settings settings = default_settings(tiny());
  EXPECT_NO_THROW(check_negative_prompt(settings, std::nullopt));
  EXPECT_NO_THROW(check_negative_prompt(settings, "a cat"));
  settings.perp_neg = 1;
  EXPECT_THROW(check_negative_prompt(settings, std::nullopt), UsageError);
  EXPECT_NO_THROW(check_negative_prompt(settings, "a cat"));
  settings = default_settings(tiny());
  settings.autoguided = true;
  EXPECT_NO_THROW(check_negative_prompt(settings, std::nullopt));
  EXPECT_THROW(check_negative_prompt(settings, "a cat"), UsageError);
}

TEST(GuidanceMemory, GrowsWithTheBranchesAndTheWeakerModel) {
  Settings settings = default_settings(tiny());
  settings.width = settings.height = 8192;
  const auto activations = [&](size_t prompts) {
    return estimate_memory(tiny(), settings, 1, {}, prompts).activations;
  };
  const int64_t two = activations(1);
  EXPECT_EQ(activations(3), 2 * two);
  settings.perp_neg = 1;
  EXPECT_EQ(activations(2), 2 * two);
  EXPECT_GT(estimate_memory(tiny(), settings, 1, {.weaker = tiny()}).weights,
            estimate_memory(tiny(), settings, 1, {}).weights);
}

}  // namespace
}  // namespace darkroom
