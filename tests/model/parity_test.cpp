// Whole runs against diffusers' StableDiffusionPipeline: tests/goldens/pipeline_record.py.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "darkroom/diffusion/noise.h"
#include "darkroom/model/pipeline.h"
#include "model/conditioner.h"
#include "support/collected.h"
#include "support/golden.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::tensor_of;
using testing::worst_difference;

const Safetensors& goldens() {
  static const Safetensors file(DARKROOM_TEST_DATA "/goldens/pipeline_runs.safetensors");
  return file;
}

std::vector<json> cases() { return json::parse(goldens().metadata().at("cases")); }

class Parity : public ::testing::TestWithParam<json> {
 protected:
  const json& c = GetParam();
  const Manifest manifest =
      read_manifest(std::filesystem::path(DARKROOM_TEST_DATA "/models") / c["model"].get<std::string>());
  testing::Collected diagnostics;

  at::Tensor golden(const char* name) const {
    return tensor_of(goldens().at(c["name"].get<std::string>() + "/" + name));
  }

  Settings settings() const {
    Settings s = default_settings(manifest);
    s.width = c["width"];
    s.height = c["height"];
    s.steps = c["steps"];
    s.cfg_scale = c["cfg_scale"];
    s.sampler = c["sampler"];
    s.schedule = c["schedule"];
    if (c["eta"] != 0) s.eta = c["eta"];
    return s;
  }

  std::vector<Request> requests() const {
    std::vector<Request> list;
    for (size_t i = 0; i < c["prompts"].size(); ++i) {
      Request request{
          .prompt = c["prompts"][i], .negative_prompt = {}, .seed = c["seeds"][i], .place = "prompt"};
      if (!c["negative_prompt"].is_null()) request.negative_prompt = c["negative_prompt"];
      list.push_back(request);
    }
    return list;
  }
};

TEST_P(Parity, Embeddings) {
  Networks networks(manifest, at::kCPU, at::kFloat);
  Conditioner conditioner(manifest, networks, diagnostics);
  const at::Tensor positive = golden("context"), negative = golden("negative_context");
  double worst = 0;
  for (size_t i = 0; i < requests().size(); ++i) {
    const Request request = requests()[i];
    const auto row = static_cast<int64_t>(i);
    worst = std::max(
        worst, worst_difference(conditioner.encode(request.prompt, "").at("context")[0], positive[row]));
    worst = std::max(worst, worst_difference(conditioner.encode(request.negative_prompt, "").at("context")[0],
                                             negative[row]));
  }
  std::printf("%-16s embeddings %.1e\n", c["name"].get<std::string>().c_str(), worst);
  EXPECT_LE(worst, 1e-5);
}

// Two machines' vector instructions may differ in the last place of a sine or logarithm (spec 6.2).
TEST_P(Parity, Noise) {
  const at::Tensor expected = golden("noise");
  const auto shape = expected.sizes();
  SeededNoise noise(c["seeds"].get<std::vector<uint32_t>>(), {shape[1], shape[2], shape[3]}, at::kFloat,
                    at::TensorOptions(at::kFloat));
  EXPECT_LE((noise.draw() - expected).abs().max().item<double>(), 2e-6);
}

TEST_P(Parity, LatentsOfEveryStepAndPixels) {
  const at::Tensor expected = golden("latents");
  double worst = 0;
  Pipeline pipeline(manifest, {}, diagnostics);
  int64_t steps_seen = 0;
  const std::vector<Outcome> outcomes =
      pipeline.generate(settings(), requests(), [&](int64_t step, int64_t, const at::Tensor& x) {
        worst = std::max(worst, worst_difference(x, expected[step - 1]));
        ++steps_seen;
      });
  EXPECT_EQ(steps_seen, expected.size(0));
  EXPECT_LE(worst, 1e-4);

  const at::Tensor images = golden("image");
  int64_t off = 0, largest = 0;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const at::Tensor image = images[static_cast<int64_t>(i)].contiguous();
    ASSERT_EQ(image.size(0), outcomes[i].image.height);
    ASSERT_EQ(image.size(1), outcomes[i].image.width);
    for (int64_t k = 0; k < image.numel(); ++k) {
      const int64_t d =
          std::abs(image.const_data_ptr<uint8_t>()[k] - outcomes[i].image.rgb[static_cast<size_t>(k)]);
      off += d > 0;
      largest = std::max(largest, d);
    }
  }
  const double share = static_cast<double>(off) / static_cast<double>(images.numel());
  std::printf("%-16s latents %.1e, pixels off %.4f %%, by at most %ld\n",
              c["name"].get<std::string>().c_str(), worst, 100 * share, static_cast<long>(largest));
  EXPECT_LE(largest, 1);
  EXPECT_LE(share, 0.005);
}

INSTANTIATE_TEST_SUITE_P(Diffusers, Parity, ::testing::ValuesIn(cases()), [](const auto& test) {
  std::string label = test.param["name"];
  std::ranges::replace(label, '-', '_');
  return label;
});

}  // namespace
}  // namespace darkroom
