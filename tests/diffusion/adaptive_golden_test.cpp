// The sampler that chooses its own steps, against k-diffusion's: tests/goldens/record_k_samplers.py. That
// every step was chosen alike shows in the timesteps the network was told.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "darkroom/base/error.h"
#include "darkroom/diffusion/sampler.h"
#include "support/golden.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::RecordedNoise;
using testing::tensor_of;

SamplerOptions options_of(const json& given) {
  const SamplerOptions standard = default_options(find_sampler("dpm_adaptive"), Convention::k);
  return {.eta = given.value("eta", 0.),
          .s_noise = given.value("s_noise", 1.),
          .order = given.value("order", 3),
          .rtol = given.value("rtol", standard.rtol),
          .atol = given.value("atol", standard.atol),
          .h_init = given.value("h_init", standard.h_init),
          .pcoeff = given.value("pcoeff", standard.pcoeff),
          .icoeff = given.value("icoeff", standard.icoeff),
          .dcoeff = given.value("dcoeff", standard.dcoeff)};
}

// k-diffusion asks at a step's start again after an attempt that it gave up.
std::vector<double> asked_once(const at::Tensor& told, const at::Tensor& accepted) {
  const auto calls = static_cast<int64_t>(told.numel() / accepted.numel());
  std::vector<double> once;
  for (int64_t i = 0; i < told.numel(); ++i) {
    const bool again = i % calls == 0 && i > 0 && accepted[i / calls - 1].item<int64_t>() == 0;
    if (!again) once.push_back(told[i].item<double>());
  }
  return once;
}

TEST(DpmAdaptive, AgreesWithKDiffusion) {
  const Safetensors file(DARKROOM_TEST_DATA "/goldens/k_samplers.safetensors");
  int count = 0;
  for (const json& c : json::parse(file.metadata().at("cases"))) {
    if (c["sampler"] != "dpm_adaptive") continue;
    ++count;
    const std::string name = c["name"];
    SCOPED_TRACE(name);
    const auto tensor = [&](const std::string& key) { return tensor_of(file.at(name + "/" + key)); };
    const NoiseSchedule schedule(
        {.kind = c["kind"], .beta_start = c["beta_start"], .beta_end = c["beta_end"]});
    const Walk walk = at_once(build_walk(
        schedule,
        {.spacing = &find_spacing("karras"), .steps = 2, .grid = Grid::sigma, .convention = Convention::k}));

    const PredictionType type = find_prediction_type(c["prediction"].get<std::string>());
    std::vector<double> told;
    const Denoise denoise = unit_variance([&](const at::Tensor& x, const Level& level) {
      told.push_back(level.timestep);
      return interpret(type, 0.7 * x.sin() + 0.2 * (3 * x).cos() * (level.timestep / 1000), x, level);
    });
    const bool noisy = file.tensors().contains(name + "/noise");
    RecordedNoise noise(noisy ? tensor("noise").unbind(0) : std::vector<at::Tensor>{});
    const at::Tensor end =
        sample(find_sampler("dpm_adaptive"), denoise, tensor("x"), walk, noise, options_of(c["options"]), {});

    const std::vector<double> expected = asked_once(tensor("timesteps"), tensor("accepted"));
    ASSERT_EQ(told.size(), expected.size());
    double worst_time = 0;
    for (size_t i = 0; i < told.size(); ++i)
      worst_time = std::max(worst_time, std::abs(told[i] - expected[i]));
    // The length of a step comes from an error that float32 forms as the difference of two neighbours.
    EXPECT_LT(worst_time, 0.1);
    const double worst = testing::worst_difference(end, tensor("samples")[-1]);
    EXPECT_LT(worst, 1e-4);
    EXPECT_EQ(noise.used(), noisy ? static_cast<size_t>(tensor("noise").size(0)) : 0);
    std::printf("%-70s end %.1e, timesteps %.1e\n", name.c_str(), worst, worst_time);
  }
  EXPECT_EQ(count, 9);
}

TEST(AtOnce, EndsAtTheLastLevelWithNoise) {
  const Level high{1, 10, 9}, middle{1, 2, 3}, low{1, 0.1, 1}, none{1, 0, 0};
  const Walk zero = at_once({{{high, middle}, {middle, low}, {low, none}}});
  ASSERT_EQ(zero.steps.size(), 1u);
  EXPECT_EQ(zero.steps[0].at.sigma, 10);
  EXPECT_EQ(zero.steps[0].to.sigma, 0.1);
  EXPECT_EQ(at_once({{{high, middle}, {middle, low}}}).steps[0].to.sigma, 0.1);
  EXPECT_THROW(at_once({{{high, none}}}), UsageError);
}

}  // namespace
}  // namespace darkroom
