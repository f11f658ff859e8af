// What settings a model accepts, and what a run is estimated to need: no network is loaded.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "darkroom/base/error.h"
#include "darkroom/model/pipeline.h"
#include "model/guidance.h"
#include "model/picture_values.h"

namespace darkroom {
namespace {

const Manifest& tiny() {
  static const Manifest manifest = read_manifest(DARKROOM_TEST_DATA "/models/tiny");
  return manifest;
}

std::string fault_after(const std::function<void(Settings&)>& change) {
  Settings settings = default_settings(tiny());
  change(settings);
  try {
    check_settings(settings, tiny());
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(Settings, OfTheModelAreAccepted) {
  EXPECT_EQ(fault_after([](Settings&) {}), "");
}

TEST(Settings, ThatCannotBeAreRefusedWithTheReason) {
  struct Case {
    std::function<void(Settings&)> change;
    std::string said;
  };
  const std::vector<Case> cases = {
      {[](Settings& s) { s.width = 65; },
       "width 65 is no multiple of 2, as this model needs; nearest: 64 or 66"},
      {[](Settings& s) { s.height = 0; }, "height 0 is no multiple of 2, as this model needs; nearest: 2"},
      {[](Settings& s) { s.sampler = "ddpn"; }, "did you mean 'ddpm'"},
      {[](Settings& s) { s.schedule = "leadin"; }, "did you mean 'leading'"},
      {[](Settings& s) { s.steps = 1001; }, "1001 steps; this model allows 1 to 1000"},
      {[](Settings& s) { s.steps = 1000; }, "would start at timestep 1000"},  // leading, with an offset of 1
      {[](Settings& s) { s.rho = 5; }, "--rho has no effect on schedule 'leading'"},
      {[](Settings& s) { s.sampler = "euler", s.schedule = "simple", s.sigma_min = 0.1; },
       "--sigma-min has no effect on schedule 'simple'"},
      {[](Settings& s) {
         s.sigmas = {2, 1};
       },
       "--sigmas has no effect on schedule 'leading'"},
      {[](Settings& s) {
         s.schedule = "timesteps", s.timesteps = {700, 300}, s.steps = 3;
       },
       "--steps 3, but --timesteps lists 2"},
      {[](Settings& s) { s.sampler = "euler", s.schedule = "align-your-steps"; },
       "brings no align-your-steps levels"},
      {[](Settings& s) { s.schedule = "karras"; }, "which this sampler does not visit"},
      {[](Settings& s) { s.sampler = "ddpm", s.eta = 0.5; }, "--eta has no effect on sampler 'ddpm'"},
      {[](Settings& s) { s.sampler = "ddpm", s.prev = "next"; }, "--prev has no effect on sampler 'ddpm'"},
      {[](Settings& s) { s.solver_order = 2; }, "--solver-order has no effect on sampler 'ddim'"},
      {[](Settings& s) { s.sampler = "deis", s.solver_order = 4; }, "sampler 'deis' has orders 1 to 3"},
      {[](Settings& s) { s.sampler = "unipc", s.solver_type = "heun"; },
       "--solver-type heun: sampler 'unipc' has bh1 or bh2"},
      {[](Settings& s) { s.sampler = "unipc", s.euler_at_final = true; },
       "--euler-at-final has no effect on sampler 'unipc'"},
      {[](Settings& s) { s.variance = "fixed_large"; }, "--variance has no effect on sampler 'ddim'"},
      {[](Settings& s) { s.sampler = "ddpm", s.variance = "learned_range"; }, "has learned no variance"},
  };
  for (const Case& c : cases) {
    const std::string fault = fault_after(c.change);
    EXPECT_NE(fault.find(c.said), std::string::npos) << "expected: " << c.said << "\nsaid: " << fault;
  }
}

// As diffusers' StableDiffusionXLPipeline and LatentConsistencyModelPipeline tell their U-Nets.
TEST(PictureValues, AreThisPicturesUnlessGiven) {
  Settings s = default_settings(tiny());
  s.width = 40;
  s.height = 24;
  s.cfg_scale = 7.5;
  const auto told = [&](bool negative) {
    const at::Tensor row = picture_values(picture_value_names(), s, negative);
    EXPECT_EQ(row.dim(), 2);
    return std::vector<float>(row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel());
  };
  EXPECT_EQ(told(false), (std::vector<float>{24, 40, 0, 0, 24, 40, 6, 6.5}));
  s.original_width = 512;
  s.crop_top = 3;
  s.target_height = 100;
  EXPECT_EQ(told(true), (std::vector<float>{24, 512, 3, 0, 100, 40, 2.5, 6.5}));
}

TEST(PictureValues, AreRefusedByAModelThatIsNotToldThem) {
  const auto no_effect = [](const std::string& fault) {
    return fault.find("has no effect on this model") != std::string::npos;
  };
  EXPECT_TRUE(no_effect(fault_after([](Settings& s) { s.crop_top = 1; })));
  EXPECT_TRUE(no_effect(fault_after([](Settings& s) { s.negative_aesthetic_score = 1; })));
  Manifest told = tiny();
  told.conditioning.push_back({.role = "time_ids", .values = {"crop_top"}});
  Settings settings = default_settings(told);
  settings.crop_top = 1;
  EXPECT_NO_THROW(check_settings(settings, told));
}

TEST(PictureValues, AModelToldTheGuidanceScaleIsNotGuided) {
  Manifest told = tiny();
  Settings settings = default_settings(told);
  settings.cfg_scale = 5;
  EXPECT_TRUE(is_guided(settings));
  told.conditioning.push_back({.role = "guidance", .values = {"guidance_weight"}});
  settings = default_settings(told);
  settings.cfg_scale = 5;
  EXPECT_FALSE(is_guided(settings));
}

TEST(Settings, EpsilonAtZeroSignalIsRefused) {
  Manifest manifest = tiny();
  manifest.stages.front().schedule.zero_terminal_snr = true;
  Settings settings = default_settings(manifest);
  EXPECT_NO_THROW(check_settings(settings, manifest));  // leading: starts at timestep 801
  settings.schedule = "trailing";
  EXPECT_THROW(check_settings(settings, manifest), UsageError);
}

TEST(Memory, GrowsWithPixelsBatchGuidanceAndPrecision) {
  Settings settings = default_settings(tiny());
  settings.width = settings.height = 8192;
  const auto activations = [&](int64_t batch, at::ScalarType precision) {
    return estimate_memory(tiny(), settings, batch, {.precision = precision}).activations;
  };
  const int64_t guided = activations(1, at::kFloat);
  EXPECT_EQ(activations(4, at::kFloat), 4 * guided);
  EXPECT_EQ(activations(1, at::kBFloat16), guided / 2);
  settings.cfg_scale = 1;
  EXPECT_LT(activations(1, at::kFloat), guided);
  const auto sliced = [&](int64_t batch, int64_t slice) {
    return estimate_memory(tiny(), settings, batch, {.vae_slicing = slice}).activations;
  };
  EXPECT_EQ(sliced(4, 1), activations(4, at::kFloat));
  EXPECT_EQ(sliced(1, 64), activations(1, at::kFloat));
  EXPECT_GT(sliced(64, 64), activations(64, at::kFloat));
  settings.width = 64;
  EXPECT_LT(activations(1, at::kFloat), guided / 100);
}

}  // namespace
}  // namespace darkroom
