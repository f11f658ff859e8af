// Pictures on a device that is not the CPU, and where the networks are meanwhile.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "darkroom/model/device_check.h"
#include "darkroom/model/pipeline.h"
#include "model/loaded_model.h"
#include "support/collected.h"
#include "support/golden.h"
#include "support/stand_in_device.h"

namespace darkroom {
namespace {

using testing::stand_in_device;
using testing::stand_in_memory;
using testing::stand_in_peak;
using testing::worst_difference;

constexpr double kBound = 1e-4;  // both round, in another order

class AnotherDevice : public ::testing::TestWithParam<const char*> {
 protected:
  /// Bytes of the device's memory that a network takes.
  int64_t size(const char* name) const {
    const int64_t before = stand_in_memory();
    const Network network = load_network(manifest_, name, stand_in_device(), at::kFloat);
    return stand_in_memory() - before;
  }

  Pipeline::Options options(const std::string& offload) const {
    return {.device = stand_in_device(), .offload = find_offload(offload)};
  }

  const Manifest manifest_ = read_manifest(std::filesystem::path(DARKROOM_TEST_DATA "/models") / GetParam());
  const Settings settings_ = default_settings(manifest_);
  const Request request_{"a red apple", "a cat", 1, "1"};
  testing::Collected diagnostics_;
};

TEST_P(AnotherDevice, MakesTheCpusPicture) {
  for (const std::string& offload : offload_names()) {
    const DeviceDifference difference =
        compare_with_cpu(manifest_, settings_, request_, options(offload), diagnostics_);
    EXPECT_LE(difference.latents, kBound) << offload;
  }
  EXPECT_EQ(stand_in_memory(), 0);
}

TEST_P(AnotherDevice, HoldsOnlyTheNetworksThatAreWanted) {
  const int64_t text = size("text"), unet = size("unet"), decoder = size("decoder");
  EXPECT_GE(unet, 4 * manifest_.networks.at("unet").parameters);

  using Bytes = std::map<std::string, int64_t>;
  Bytes before, peak;
  std::map<std::string, std::set<int64_t>> walking,
      after;  // sets: of one element, each time being as the last
  for (const std::string& offload : offload_names()) {
    Pipeline pipeline(manifest_, options(offload), diagnostics_);
    before[offload] = stand_in_memory();
    stand_in_peak();
    for (int time = 0; time < 2; ++time) {
      pipeline.generate(settings_, {request_}, [&](int64_t step, int64_t, const at::Tensor&) {
        if (step == 1) walking[offload].insert(stand_in_memory());
      });
      after[offload].insert(stand_in_memory());
    }
    peak[offload] = stand_in_peak();
  }
  const auto others = [&](const std::string& offload) {
    return offload == "all" ? text + decoder : offload == "text" ? text : 0;
  };
  for (const std::string& offload : offload_names()) {
    const int64_t kept = offload == "all" ? 0 : text + unet + decoder - others(offload);
    EXPECT_EQ(before.at(offload), kept) << offload;
    // Beside networks: latents, and what prompts were encoded to; without offloading as with it.
    const int64_t latents = *walking.at("none").begin() - text - unet - decoder;
    const int64_t prompts = *after.at("none").begin() - text - unet - decoder;
    EXPECT_GT(latents, prompts);
    EXPECT_EQ(walking.at(offload), std::set{text + unet + decoder - others(offload) + latents}) << offload;
    EXPECT_EQ(after.at(offload), std::set{kept + prompts}) << offload;
  }
  EXPECT_LE(peak.at("all"), peak.at("none") - text - std::min(unet, decoder));
}

TEST_P(AnotherDevice, HoldsOneOfTwoTextEncoders) {
  Manifest pair = manifest_;
  pair.networks["text_2"] = pair.networks.at("text");
  pair.conditioning.front().from.push_back({"text_2", "hidden", "clip"});
  std::map<bool, int64_t> peak;
  std::map<bool, at::Tensor> encoded;
  for (const bool alone : {false, true}) {
    LoadedModel model(pair, stand_in_device(), at::kFloat, diagnostics_, alone);
    stand_in_peak();
    for (const char* prompt : {"a red apple", "a cat", "a dog"})
      encoded[alone] = model.conditioner.encode(prompt, "").at("context").cpu();
    peak[alone] = stand_in_peak();
  }
  EXPECT_EQ(peak.at(false) - peak.at(true), size("text"));
  EXPECT_TRUE(at::equal(encoded.at(false), encoded.at(true)));
}

INSTANTIATE_TEST_SUITE_P(Models, AnotherDevice, ::testing::Values("tiny", "tiny-v"));

class EveryKindOfPicture : public ::testing::Test {
 protected:
  explicit EveryKindOfPicture(const char* folder = DARKROOM_TEST_DATA "/models/tiny")
      : manifest_(read_manifest(folder)) {
    settings_.width = settings_.height = 8 * manifest_.output.factor;
    settings_.steps = 3;
  }

  double difference(const Settings& settings) { return difference(settings, there_, here_); }
  double difference(const Settings& settings, Pipeline& there, Pipeline& here) const {
    return worst_difference(there.generate(settings, {request_}).front().latents.cpu(),
                            here.generate(settings, {request_}).front().latents);
  }

  double difference_with(Pipeline::Options options) {
    Pipeline here(manifest_, options, diagnostics_);
    options.device = stand_in_device();
    Pipeline there(manifest_, options, diagnostics_);
    return difference(settings_, there, here);
  }

  const Manifest manifest_;
  Settings settings_ = default_settings(manifest_);
  Request request_{"a red apple", "a cat", 1, "1"};
  testing::Collected diagnostics_;
  Pipeline here_{manifest_, {}, diagnostics_},
      there_{manifest_, {.device = stand_in_device(), .vae_slicing = 2}, diagnostics_};
};

TEST_F(EveryKindOfPicture, IsWalkedByEverySampler) {
  for (const SamplerInfo& sampler : samplers()) {
    settings_.sampler = sampler.name;
    const bool own_steps = sampler.name == "dpm_adaptive" || sampler.name == "ode";
    EXPECT_LE(difference(settings_), own_steps ? 1e-2 : kBound) << sampler.name;
  }
}

TEST_F(EveryKindOfPicture, IsGuidedInEveryWay) {
  const std::map<std::string, std::function<void(Settings&)>> ways = {
      {"unguided", [](Settings& s) { s.cfg_scale = 1; }},
      {"rescaled", [](Settings& s) { s.guidance_rescale = 0.7; }},
      {"projected", [](Settings& s) { s.apg_eta = 0, s.apg_norm = 5, s.apg_momentum = -0.5; }},
      {"CFG-Zero*", [](Settings& s) { s.cfg_zero = true, s.zero_init_steps = 1; }},
      {"perpendicular", [](Settings& s) { s.perp_neg = 1; }},
      {"CFG++", [](Settings& s) { s.cfg_pp = true, s.cfg_scale = 0.6; }},
      {"clipped", [](Settings& s) { s.clip_sample = 1; }},
      {"thresholded", [](Settings& s) { s.threshold_ratio = 0.9, s.threshold_max = 2; }},
  };
  for (const auto& [name, change] : ways) {
    Settings settings = settings_;
    change(settings);
    EXPECT_LE(difference(settings), kBound) << name;
  }
  settings_.autoguided = true;
  request_.negative_prompt.reset();
  EXPECT_LE(difference_with({.weaker = manifest_}), kBound);
}

// A trained text encoder: the mean of what an untrained one says is 0 but for rounding, and a1111's weights
// divide by it.
class EveryKindOfPrompt : public EveryKindOfPicture {
 protected:
  EveryKindOfPrompt() : EveryKindOfPicture(DARKROOM_SOURCE_DIR "/models/emoji") {}
};

TEST_F(EveryKindOfPrompt, IsRead) {
  const std::map<std::string, std::function<void(Settings&)>> prompts = {
      {"a (red:1.3) apple BREAK on [grass]", [](Settings& s) { s.weighting = "a1111"; }},
      {"a red++ (apple)0.8", [](Settings& s) { s.weighting = "compel"; }},
      {"a red apple :1.2 AND a dog", [](Settings& s) { s.compose = true; }},
      {"a dog", [](Settings& s) { s.clip_skip = 1; }},
  };
  for (const auto& [prompt, change] : prompts) {
    Settings settings = settings_;
    change(settings);
    request_.prompt = prompt;
    EXPECT_LE(difference(settings), kBound) << prompt;
  }
}

TEST_F(EveryKindOfPicture, IsRefined) { EXPECT_LE(difference_with({.refiner = manifest_}), kBound); }

TEST_F(EveryKindOfPicture, BeginsGoesOnAndEndsThere) {
  settings_.noise_dtype = "fp16";
  EXPECT_LE(difference(settings_), kBound);
  settings_.given_latents = true;
  request_.latents = at::ones(latent_shape(manifest_, settings_));
  EXPECT_LE(difference(settings_), kBound);

  // With noise, and a history that all steps but the first and the last look at.
  settings_.sampler = "dpm++2m_sde";
  settings_.steps = 5;
  settings_.vae_tiling = 4 * manifest_.output.factor;
  const std::vector<Request> batch(3, request_);
  Settings part = settings_;
  part.end_step = 2;
  WalkState reached;
  here_.generate(part, batch, {}, nullptr, &reached);
  EXPECT_LE(worst_difference(there_.generate(settings_, batch, {}, &reached).back().latents.cpu(),
                             here_.generate(settings_, batch).back().latents),
            kBound);
}

}  // namespace
}  // namespace darkroom
