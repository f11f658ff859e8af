// The shipped model draws what it is asked for, in the opinion of the judge that scripts/train trained on
// rendered scenes only. The prompts are of (object, background) pairs that the model was never trained on.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "darkroom/model/pipeline.h"
#include "darkroom/nn/network.h"
#include "support/collected.h"

namespace darkroom {
namespace {

/// A prompt and what the judge should answer to its questions.
struct Case {
  std::string prompt;
  std::map<std::string, std::string> answers;
};

const std::vector<Case> kCases = {
    {"a frog on a pink background", {{"object", "frog"}, {"colour", "pink"}, {"count", "one"}}},
    {"a rocket on a brown background", {{"object", "rocket"}, {"colour", "brown"}, {"count", "one"}}},
    {"a doughnut on an orange background", {{"object", "doughnut"}, {"colour", "orange"}, {"count", "one"}}},
    {"a penguin on a red background", {{"object", "penguin"}, {"colour", "red"}, {"count", "one"}}},
    {"a castle on a brown background", {{"object", "castle"}, {"colour", "brown"}, {"count", "one"}}},
    {"an umbrella in the top left corner on a blue background",
     {{"object", "umbrella"}, {"colour", "blue"}, {"place", "top left"}}},
    {"a tractor at the bottom on a green background",
     {{"object", "tractor"}, {"colour", "green"}, {"place", "bottom"}}},
    {"two guitars on a pink background",
     {{"left", "guitar"}, {"right", "guitar"}, {"colour", "pink"}, {"count", "two"}}},
    {"two robots on a purple background",
     {{"left", "robot"}, {"right", "robot"}, {"colour", "purple"}, {"count", "two"}}},
    {"a cat and a butterfly on a teal background",
     {{"left", "cat"}, {"right", "butterfly"}, {"colour", "teal"}, {"count", "two"}}},
};

/// The pictures of all cases, 10 x 3 x H x W in [-1, 1].
at::Tensor drawn() {
  const Manifest manifest = read_manifest(DARKROOM_SOURCE_DIR "/models/emoji");
  testing::Collected diagnostics;
  Pipeline pipeline(manifest, {}, diagnostics);
  std::vector<Request> requests;
  for (const Case& c : kCases)
    requests.push_back({c.prompt, std::nullopt, static_cast<uint32_t>(requests.size() + 1), "prompt"});
  std::vector<at::Tensor> pictures;
  for (const Outcome& outcome : pipeline.generate(default_settings(manifest), requests)) {
    EXPECT_EQ(outcome.fault, "");
    at::Tensor picture = at::empty({outcome.image.height, outcome.image.width, 3}, at::kByte);
    std::ranges::copy(outcome.image.rgb, picture.data_ptr<uint8_t>());
    pictures.push_back(picture.permute({2, 0, 1}));
  }
  EXPECT_TRUE(diagnostics.warnings.empty());
  return at::stack(pictures).to(at::kFloat) / 127.5 - 1;
}

TEST(Emoji, DrawsWhatItIsAskedFor) {
  const std::filesystem::path folder = DARKROOM_SOURCE_DIR "/models/judge";
  const nlohmann::json labels = nlohmann::json::parse(std::ifstream(folder / "labels.json"));
  Network judge({"judge",
                 folder / "classifier.pt",
                 {"pictures"},
                 {"object", "left", "right", "colour", "place", "count"}},
                at::kCPU, at::kFloat);
  const Tensors seen = judge.run({{"pictures", drawn()}});
  for (size_t i = 0; i < kCases.size(); ++i) {
    for (const auto& [question, answer] : kCases[i].answers) {
      const int64_t best = seen.at(question)[static_cast<int64_t>(i)].argmax().item<int64_t>();
      const bool about_object = question == "left" || question == "right";
      EXPECT_EQ(labels.at(about_object ? "object" : question).at(best), answer)
          << kCases[i].prompt << ": " << question;
    }
  }
}

}  // namespace
}  // namespace darkroom
