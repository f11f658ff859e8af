// Guidance against what diffusers' guiders and the papers' equations give: tests/goldens/record_guidance.py.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "darkroom/diffusion/guidance.h"
#include "darkroom/diffusion/sampler.h"
#include "darkroom/diffusion/schedule.h"
#include "support/golden.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::RecordedNoise;
using testing::tensor_of;
using testing::worst_difference;

const Safetensors& goldens() {
  static const Safetensors file(DARKROOM_TEST_DATA "/goldens/guidance.safetensors");
  return file;
}

json metadata(const char* key) { return json::parse(goldens().metadata().at(key)); }

Walk recorded_walk() {
  const NoiseSchedule schedule({.kind = "linear", .beta_start = 1e-4, .beta_end = 0.02});
  Walk walk;
  for (const int64_t t : metadata("timesteps")) walk.steps.push_back({schedule.at(t), schedule.at(t - 1)});
  return walk;
}

std::string name_of(const Branch& branch) {
  if (branch.weaker) return "weaker";
  switch (branch.conditioning) {
    case Branch::Conditioning::negative:
      return "negative";
    case Branch::Conditioning::empty:
      return "empty";
    case Branch::Conditioning::prompt:
      break;
  }
  return "prompt" + std::to_string(branch.prompt);
}

/// Answers with what was recorded for the step whose level it is asked at.
Branches recorded_branches(const Walk& walk) {
  std::map<std::string, at::Tensor> outputs;
  for (const char* name : {"negative", "prompt0", "prompt1", "empty", "weaker"})
    outputs[name] = tensor_of(goldens().at(std::string("outputs/") + name));
  return [outputs, walk](const at::Tensor&, const Level& level, const std::vector<Branch>& wanted) {
    int64_t step = 0;
    while (walk.steps.at(static_cast<size_t>(step)).at.timestep != level.timestep) ++step;
    std::vector<at::Tensor> raw;
    for (const Branch& branch : wanted) raw.push_back(outputs.at(name_of(branch))[step]);
    return raw;
  };
}

Denoise guidance_of(const json& c, const Walk& walk) {
  const BranchedDenoiser denoiser{recorded_branches(walk), {}, c.value("weights", std::vector<double>{1})};
  Compare compare = c.contains("perp_neg")       ? perpendicular_negative(denoiser, c["perp_neg"])
                    : c.contains("autoguidance") ? autoguidance(denoiser)
                                                 : classifier_free(denoiser);
  if (c.contains("zero_star")) compare = optimised_scale(compare);
  if (c.contains("eta"))
    compare = adaptive_projection(compare,
                                  {.eta = c["eta"], .norm = c["norm"], .momentum = c.value("momentum", 0.0)});
  const GuidanceScale scale =
      scale_over(walk, {.scale = c["scale"],
                        .start = c.value("start", 0.0),
                        .stop = c.value("stop", 1.0),
                        .schedule = find_scale_schedule(c.value("schedule", std::string("constant"))),
                        .train_steps = metadata("train_steps")});
  Denoise denoise = guide(compare, prompts_alone(denoiser), PredictionType::epsilon, scale,
                          {.rescale = c.value("rescale", 0.0)});
  if (c.contains("zero_init")) denoise = zero_init(denoise, PredictionType::epsilon, walk, c["zero_init"]);
  return denoise;
}

class GuidanceGolden : public ::testing::TestWithParam<json> {};

TEST_P(GuidanceGolden, EachStep) {
  const Walk walk = recorded_walk();
  const Denoise denoise = guidance_of(GetParam(), walk);
  const at::Tensor expected = tensor_of(goldens().at(GetParam()["name"].get<std::string>() + "/output"));
  double worst = 0;
  for (size_t i = 0; i < walk.steps.size(); ++i) {
    const at::Tensor x = at::ones_like(expected[0]);
    const at::Tensor raw = denoise(x, walk.steps[i].at).eps;  // of an epsilon model: the raw output
    worst = std::max(worst, worst_difference(raw, expected[static_cast<int64_t>(i)]));
  }
  EXPECT_LE(worst, 1e-6);
  std::printf("%-24s %s %.1e\n", GetParam()["name"].get<std::string>().c_str(),
              GetParam()["source"].get<std::string>().c_str(), worst);
}

std::vector<json> cases() { return metadata("cases"); }

INSTANTIATE_TEST_SUITE_P(Recorded, GuidanceGolden, ::testing::ValuesIn(cases()), [](const auto& test) {
  std::string label = test.param["name"];
  for (char& letter : label)
    if (letter == '-') letter = '_';
  return label;
});

// CFG++ is a guidance, not a sampler: what the authors' samplers walk follows from the pair {x0, eps}. Where
// theirs use an unconditional x0, it is the one that x and eps imply: DPM++ 2M's of the step before.
class CfgPlusPlusGolden : public ::testing::TestWithParam<const char*> {
 protected:
  CfgPlusPlusGolden() {
    const BranchedDenoiser denoiser{[](const at::Tensor& x, const Level&, const std::vector<Branch>& wanted) {
      std::vector<at::Tensor> raw;
      for (const Branch& branch : wanted) {
        const double frequency = branch.conditioning == Branch::Conditioning::prompt ? 3 : 2;
        raw.push_back(0.9 * x + 0.3 * (frequency * x).sin());
      }
      return raw;
    }};
    denoise_ =
        unit_variance(guide(classifier_free(denoiser), prompts_alone(denoiser), PredictionType::epsilon,
                            [](const Level&) { return 0.6; }, {.cfg_pp = true}));
    const auto level = [&](int64_t i) { return Level{1, sigmas_[i].item<double>(), 0}; };
    for (int64_t i = 0; i + 1 < sigmas_.size(0); ++i) walk_.steps.push_back({level(i), level(i + 1)});
  }

  const at::Tensor sigmas_ = tensor_of(goldens().at("cfg-pp/sigmas"));
  RecordedNoise noise_{tensor_of(goldens().at("cfg-pp/noise")).unbind(0)};
  Denoise denoise_;
  Walk walk_;
};

TEST_P(CfgPlusPlusGolden, Walk) {
  const std::string name = GetParam();
  const at::Tensor expected = tensor_of(goldens().at("cfg-pp/" + name));
  const SamplerInfo& sampler = find_sampler(name);
  sample(sampler, denoise_, tensor_of(goldens().at("cfg-pp/start")), walk_, noise_, {.eta = sampler.eta},
         [&](int64_t step, int64_t, const at::Tensor& x) {
           EXPECT_LE(worst_difference(x, expected[step - 1]), 1e-12) << step;
         });
}

INSTANTIATE_TEST_SUITE_P(Samplers, CfgPlusPlusGolden, ::testing::Values("euler", "euler_a", "dpmpp_2m"));

}  // namespace
}  // namespace darkroom
