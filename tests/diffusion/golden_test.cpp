// DDPM and DDIM against what diffusers did: tests/goldens/record_samplers.py.
#include "support/golden.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "darkroom/diffusion/sampler.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::RecordedNoise;
using testing::tensor_of;
using testing::worst_difference;

const Safetensors& goldens() {
  static const Safetensors file(DARKROOM_TEST_DATA "/goldens/samplers.safetensors");
  return file;
}

std::vector<json> cases() { return json::parse(goldens().metadata().at("cases")); }

NoiseSchedule schedule_of(const json& c) {
  return NoiseSchedule({.kind = c["kind"],
                        .beta_start = c["beta_start"],
                        .beta_end = c["beta_end"],
                        .steps = c["train_steps"],
                        .betas = c["betas"].get<std::vector<double>>(),
                        .zero_terminal_snr = c["zero_terminal_snr"]});
}

Walk walk_of(const json& c, const NoiseSchedule& schedule) {
  const SamplerInfo& sampler = find_sampler(c["sampler"].get<std::string>());
  return build_walk(schedule, {.spacing = &find_spacing(c["spacing"].get<std::string>()),
                               .steps = c["steps"],
                               .steps_offset = c["steps_offset"],
                               .previous = sampler.previous,
                               .final = c["set_alpha_to_one"].get<bool>() ? Final::zero : sampler.final});
}

Denoise denoiser_of(const json& c) {
  const SamplerInfo& sampler = find_sampler(c["sampler"].get<std::string>());
  const bool learned = c["variance"] == "learned_range";
  const double total = c["train_steps"];
  const PredictionType type = find_prediction_type(c["prediction"].get<std::string>());
  Denoise denoise = [=](const at::Tensor& x, const Level& level) {
    const at::Tensor raw = 0.7 * x.sin() + 0.2 * (3 * x).cos() * (level.timestep / total);
    Prediction prediction = interpret(type, raw, x, level);
    if (learned) prediction.variance = (2 * x).sin();
    return prediction;
  };
  if (c.contains("threshold_ratio"))
    return dynamic_threshold(denoise, c["threshold_ratio"], c["threshold_max"], sampler.limited_eps);
  if (c.contains("clip_sample")) return clip_sample(denoise, c["clip_sample"], sampler.limited_eps);
  return denoise;
}

RecordedNoise noise_of(const std::string& name) {
  const auto drawn = goldens().tensors().find(name + "/noise");
  if (drawn == goldens().tensors().end()) return RecordedNoise({});
  return RecordedNoise(tensor_of(drawn->second).unbind(0));
}

class GoldenRun : public ::testing::TestWithParam<json> {
 protected:
  const json& c = GetParam();
  const std::string name = c["name"];
  const NoiseSchedule schedule = schedule_of(c);
  const Walk walk = walk_of(c, schedule);
  const SamplerInfo& sampler = find_sampler(c["sampler"].get<std::string>());
  const SamplerOptions options{.eta = c["eta"], .variance = find_variance(c["variance"].get<std::string>())};
  const at::Tensor start = tensor_of(goldens().at(name + "/x"));
  const at::Tensor samples = tensor_of(goldens().at(name + "/samples"));

  at::Tensor run(const at::Tensor& x, const Walk& steps, Noise& noise) {
    return sample(sampler, denoiser_of(c), x, steps, noise, options, {});
  }
};

TEST_P(GoldenRun, TimestepsAndTables) {
  const at::Tensor timesteps = tensor_of(goldens().at(name + "/timesteps"));
  ASSERT_EQ(static_cast<size_t>(timesteps.size(0)), walk.steps.size());
  for (int64_t i = 0; i < timesteps.size(0); ++i)
    EXPECT_EQ(walk.steps[static_cast<size_t>(i)].at.timestep,
              static_cast<double>(timesteps[i].item<int64_t>()));

  const at::Tensor table = tensor_of(goldens().at(name + "/alphas_cumprod"));
  const int64_t stride = std::max<int64_t>(1, schedule.size() / 50);
  for (int64_t i = 0; i < table.size(0); ++i)
    EXPECT_FLOAT_EQ(schedule.alphas_cumprod()[static_cast<size_t>(i * stride)], table[i].item<float>())
        << i * stride;
}

// Each step alone, from the x diffusers had; the noise it drew and no more.
TEST_P(GoldenRun, EachStep) {
  // Upstream rounds every scalar to float32: 1 - ab is then good to few digits near t = 0 of the cosine
  // schedule.
  const double tolerance = c["kind"] == "cosine" ? 1e-4 : 5e-6;
  RecordedNoise noise = noise_of(name);
  double worst = 0;
  at::Tensor x = start;
  for (size_t i = 0; i < walk.steps.size(); ++i) {
    Walk one;
    one.steps = {walk.steps[i]};
    const at::Tensor expected = samples[static_cast<int64_t>(i)];
    worst = std::max(worst, worst_difference(run(x, one, noise), expected));
    x = expected;
  }
  EXPECT_LE(worst, tolerance);
  const auto drawn = goldens().tensors().find(name + "/noise");
  EXPECT_EQ(static_cast<int64_t>(noise.used()),
            drawn == goldens().tensors().end() ? 0 : drawn->second.shape[0]);
  std::printf("%-32s worst step %.1e\n", name.c_str(), worst);
}

TEST_P(GoldenRun, WholeWalk) {
  RecordedNoise noise = noise_of(name);
  const at::Tensor end = run(start, walk, noise).to(at::kDouble), expected = samples[-1].to(at::kDouble);
  const double relative = ((end - expected).norm() / expected.norm()).item<double>();
  EXPECT_LE(relative, c["kind"] == "cosine" ? 5e-5 : 5e-6);
}

// Two machines' vector instructions may differ in the last place of a sine or logarithm; a half-precision
// draw may then round to its neighbour.
TEST(Golden, NoiseAtEveryPrecision) {
  struct Row {
    const char* name;
    at::ScalarType type;
    double tolerance;
  };
  for (const Row& row : {Row{"noise/fp32", at::kFloat, 2e-6}, Row{"noise/fp16", at::kHalf, 2e-3},
                         Row{"noise/bf16", at::kBFloat16, 2e-2}}) {
    SeededNoise noise({5, 4294967295}, {3, 5, 7}, row.type, at::TensorOptions(at::kFloat));
    for (const at::Tensor& expected : tensor_of(goldens().at(row.name)).unbind(0))
      EXPECT_LE((noise.draw() - expected.to(at::kFloat)).abs().max().item<double>(), row.tolerance)
          << row.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Diffusers, GoldenRun, ::testing::ValuesIn(cases()), [](const auto& test) {
  std::string label = test.param["name"];
  for (char& letter : label)
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  return label;
});

}  // namespace
}  // namespace darkroom
