// Properties of the whole path that need no reference: batches, sizes, precisions, failures.
#include "darkroom/model/pipeline.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "darkroom/base/error.h"
#include "darkroom/model/device_check.h"
#include "model/networks.h"
#include "support/collected.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

Manifest model(const char* name) { return read_manifest(fs::path(DARKROOM_TEST_DATA "/models") / name); }

class PipelineTest : public ::testing::TestWithParam<const char*> {
 protected:
  Settings settings_ = default_settings(model(GetParam()));
  testing::Collected diagnostics_;
  Pipeline pipeline_{model(GetParam()), {}, diagnostics_};

  Image make(const Request& request) { return pipeline_.generate(settings_, {request}).front().image; }
};

const std::vector<Request> kRequests = {{"a red apple", std::nullopt, 1, "1"},
                                        {"two small dogs on the grass", "a cat", 4294967295, "2"},
                                        {"", std::nullopt, 1, "3"}};

int largest_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.rgb.size(), b.rgb.size());
  int largest = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) largest = std::max(largest, std::abs(a.rgb[i] - b.rgb[i]));
  return largest;
}

TEST_P(PipelineTest, AnImageOfABatchIsItsSingleRunWithinOneLevel) {
  for (const char* sampler : {"ddim", "ddpm"}) {
    settings_.sampler = sampler;
    std::vector<at::Tensor> starts;
    const std::vector<Outcome> batch = pipeline_.generate(settings_, kRequests);
    for (size_t i = 0; i < kRequests.size(); ++i) {
      EXPECT_EQ(batch[i].fault, "");
      EXPECT_LE(largest_difference(batch[i].image, make(kRequests[i])), 1) << sampler << " " << i;
    }
    EXPECT_GT(largest_difference(batch[0].image, batch[1].image), 8);
    EXPECT_GT(largest_difference(batch[0].image, batch[2].image), 0) << "the prompt does not matter";
  }
}

TEST_P(PipelineTest, SlicesOfABatchAreDecodedInOrder) {
  Pipeline slices(model(GetParam()), {.vae_slicing = 2}, diagnostics_);
  for (const int64_t tiling : {int64_t{0}, 4 * pipeline_.manifest().output.factor}) {
    settings_.vae_tiling = tiling;
    const std::vector<Outcome> alone = pipeline_.generate(settings_, kRequests),
                               sliced = slices.generate(settings_, kRequests);
    for (size_t i = 0; i < kRequests.size(); ++i)
      EXPECT_LE(largest_difference(alone[i].image, sliced[i].image), 1) << tiling << " " << i;
  }
}

TEST_P(PipelineTest, TheSameRequestGivesTheSameBytes) {
  EXPECT_EQ(make(kRequests[0]).rgb, make(kRequests[0]).rgb);
}

TEST_P(PipelineTest, EverySizeOfTheFactorComesOut) {
  const int64_t factor = pipeline_.manifest().output.factor;
  for (const auto& [columns, rows] : {std::pair<int64_t, int64_t>{17, 18}, {5, 3}, {16, 31}, {1, 1}}) {
    settings_.width = columns * factor;
    settings_.height = rows * factor;
    const Image image = make(kRequests[0]);
    EXPECT_EQ(image.width, settings_.width);
    EXPECT_EQ(image.height, settings_.height);
    EXPECT_EQ(static_cast<int64_t>(image.rgb.size()), 3 * settings_.width * settings_.height);
  }
}

TEST_P(PipelineTest, HalfThePrecisionIsNearlyThePicture) {
  const DeviceDifference difference = compare_with_cpu(model(GetParam()), settings_, kRequests[0],
                                                       {.precision = at::kBFloat16}, diagnostics_);
  EXPECT_GT(difference.latents, 1e-5);  // it did run at another precision
  EXPECT_LT(difference.latents, 0.15);
}

TEST_P(PipelineTest, NetworksThatAreOffloadedGiveTheSamePicture) {
  for (const std::string& name : offload_names()) {
    Pipeline pipeline(model(GetParam()), {.offload = find_offload(name)}, diagnostics_);
    for (int time = 0; time < 2; ++time)
      for (const Request& request : kRequests)
        EXPECT_EQ(pipeline.generate(settings_, {request}).front().image.rgb, make(request).rgb) << name;
  }
}

// DDIM looks at one step at a time.
TEST_P(PipelineTest, ARefinerThatIsTheModelItselfChangesNothing) {
  settings_.sampler = "ddim";
  const Image alone = make(kRequests[1]);
  for (const std::string& name : offload_names()) {
    Pipeline pipeline(model(GetParam()), {.offload = find_offload(name), .refiner = model(GetParam())},
                      diagnostics_);
    for (const double start : {0.3, 0.8}) {
      settings_.refiner_start = start;
      EXPECT_EQ(pipeline.generate(settings_, {kRequests[1]}).front().image.rgb, alone.rgb) << name;
    }
  }
}

TEST(Memory, OfNetworksThatAreOffloadedIsThatOfTheLargest) {
  const Manifest manifest = model("tiny");
  const Settings settings = default_settings(manifest);
  const auto weights = [&](Pipeline::Options options) {
    return estimate_memory(manifest, settings, 1, options).weights;
  };
  int64_t sum = 0, largest = 0;
  for (const auto& [name, network] : manifest.networks) {
    sum += 4 * network.parameters;
    largest = std::max(largest, 4 * network.parameters);
  }
  const int64_t decoder = 4 * manifest.networks.at(manifest.output.decoder).parameters;
  EXPECT_EQ(weights({}), sum);
  EXPECT_EQ(weights({.offload = Offload::all}), largest);
  EXPECT_EQ(weights({.refiner = manifest}), 2 * sum - decoder);
  EXPECT_EQ(weights({.offload = Offload::all, .refiner = manifest}), largest);
  EXPECT_EQ(weights({.precision = at::kBFloat16}), sum / 2);
}

TEST(Memory, IsThatOfThePrecisionThatANetworkRunsAt) {
  Manifest manifest = model("tiny");
  const Settings settings = default_settings(manifest);
  const auto estimate = [&] { return estimate_memory(manifest, settings, 1, {.precision = at::kBFloat16}); };
  const MemoryEstimate half = estimate();
  manifest.networks.at(manifest.output.decoder).precisions = {"fp32"};
  EXPECT_EQ(estimate().weights - half.weights, 2 * manifest.networks.at(manifest.output.decoder).parameters);
  EXPECT_GT(estimate().activations, half.activations);
}

TEST(NetworksOfAModel, AreCheckedAgainWhenTheirFilesWereWritten) {
  const testing::TemporaryFolder folder;
  fs::copy(fs::path(DARKROOM_TEST_DATA "/models/tiny"), folder.path() / "model");
  const Manifest manifest = read_manifest(folder.path() / "model");
  Networks networks(manifest, at::kCPU, at::kFloat);
  networks.get("text");
  networks.put_aside("text");
  networks.get("text");
  networks.put_aside("text");
  std::ofstream(folder.path() / "model/text.pt", std::ios::app) << ' ';
  EXPECT_THROW(networks.get("text"), ModelError);
}

TEST_P(PipelineTest, WarnsOfLostWordsOnceAPrompt) {
  Request request = kRequests[0];
  for (int i = 0; i < 90; ++i) request.prompt += " apple";
  request.place = "prompts.txt:7";
  make(request);
  make(request);
  ASSERT_EQ(diagnostics_.warnings.size(), 1u);
  EXPECT_EQ(diagnostics_.warnings[0].kind, "words_lost");
  EXPECT_EQ(diagnostics_.warnings[0].place, "prompts.txt:7");
}

INSTANTIATE_TEST_SUITE_P(Tiny, PipelineTest, ::testing::Values("tiny", "tiny-v"), [](const auto& test) {
  return std::string(test.param) == "tiny" ? "epsilon" : "v";
});

TEST(Pipeline, SaysWhenANetworkReturnsNoNumbers) {
  testing::Collected diagnostics;
  const Manifest manifest = model("nan");
  const Outcome outcome =
      Pipeline(manifest, {}, diagnostics).generate(default_settings(manifest), {kRequests[0]}).front();
  EXPECT_NE(outcome.fault.find("NaN"), std::string::npos) << outcome.fault;
}

TEST(Pipeline, SaysWhenTheDecoderMakesAnotherSize) {
  testing::Collected diagnostics;
  Manifest manifest = model("tiny");
  manifest.stages.front().state = {"4", "h/4", "w/4"};
  Pipeline pipeline(manifest, {}, diagnostics);
  EXPECT_THROW(pipeline.generate(default_settings(manifest), {kRequests[0]}), ModelError);
}

// A network with too few channels for a learned variance: libtorch's complaint, under the model's name.
TEST(Pipeline, TurnsLibtorchsErrorsIntoItsOwn) {
  testing::Collected diagnostics;
  Manifest manifest = model("tiny");
  manifest.stages.front().variance = "learned_range";
  Pipeline pipeline(manifest, {}, diagnostics);
  EXPECT_THROW(pipeline.generate(default_settings(manifest), {kRequests[0]}), ModelError);
}

TEST(Pipeline, LoadsNoFileThatIsNotTheOneDescribed) {
  testing::TemporaryFolder folder;
  fs::copy(DARKROOM_TEST_DATA "/models/tiny", folder.path(), fs::copy_options::recursive);
  std::ofstream(folder.path() / "decoder.pt", std::ios::app) << "x";
  testing::Collected diagnostics;
  try {
    Pipeline(read_manifest(folder.path()), {}, diagnostics);
    FAIL() << "loaded";
  } catch (const ModelError& error) {
    EXPECT_NE(std::string(error.what()).find("decoder.pt"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace darkroom
