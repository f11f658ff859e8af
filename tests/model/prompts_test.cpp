// How prompts are read: goldens/record_prompts.py, and properties of whole runs.
#include "model/prompts.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "support/collected.h"
#include "support/golden.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::worst_difference;

const std::filesystem::path kGoldens = DARKROOM_TEST_DATA "/goldens";

Manifest tiny() { return read_manifest(DARKROOM_TEST_DATA "/models/tiny"); }

/// The tiny model with the text encoder of the goldens, whose output has a mean and which takes a mask.
Manifest model() {
  Manifest manifest = tiny();
  Manifest::Network& text = manifest.networks.at("text");
  text.file = "../../goldens/prompt_encoder.pt";
  text.sha256 = sha256_of_file(kGoldens / "prompt_encoder.pt");
  text.inputs = {"ids", "mask"};
  return manifest;
}

/// The context of each case, by settings that `read` makes of it.
template <class Read>
void expect_contexts(const char* file, const Manifest& manifest, Read read) {
  const Safetensors goldens(kGoldens / file);
  testing::Collected diagnostics;
  Networks networks(manifest, at::kCPU, at::kFloat);
  Conditioner conditioner(manifest, networks, diagnostics);
  int compared = 0;
  for (const json& c : json::parse(goldens.metadata().at("cases"))) {
    Settings settings = default_settings(manifest);
    if (!read(c, settings)) continue;
    const std::string name = c["name"];
    const at::Tensor expected = testing::tensor_of(goldens.at(name + "/context"));
    const at::Tensor context =
        conditioner.encode(c["text"].get<std::string>(), "", reading_of(settings)).at("context");
    ASSERT_EQ(context.sizes(), expected.sizes()) << name;
    const double worst = worst_difference(context, expected);
    std::printf("%-24s %.1e\n", name.c_str(), worst);
    EXPECT_LE(worst, 1e-6) << name;
    ++compared;
  }
  EXPECT_GE(compared, 2);
}

TEST(Prompts, BecomeWhatA1111AndDiffusersMakeOfThem) {
  expect_contexts("prompts.safetensors", model(), [](const json& c, Settings& settings) {
    settings.weighting = c["weighting"];
    settings.clip_skip = c["clip_skip"];
    return true;
  });
}

TEST(Prompts, BecomeWhatCompelMakesOfThem) {
  for (const bool mask : {true, false})
    expect_contexts("compel.safetensors", mask ? model() : tiny(), [&](const json& c, Settings& settings) {
      settings.weighting = "compel";
      settings.clip_skip = c["clip_skip"];
      if (!c["chunks"].get<bool>()) settings.long_prompt = "truncate";
      return c["mask"] == mask;
    });
}

class PromptsTest : public ::testing::Test {
 protected:
  PromptsTest() { settings_.width = settings_.height = 16, settings_.steps = 2; }

  Outcome make(const std::string& prompt, const std::optional<std::string>& negative = {}) {
    return pipeline_.generate(settings_, {{prompt, negative, 1, "prompt"}}).front();
  }

  testing::Collected diagnostics_;
  Pipeline pipeline_{model(), {}, diagnostics_};
  Settings settings_ = default_settings(model());
};

const std::string kLong = [] {
  std::string text;
  for (int i = 0; i < 90; ++i) text += i % 9 == 0 ? "(cat:1.3), " : "dog ";
  return text;
}();

TEST_F(PromptsTest, AreReadLiterallyUnlessWeighted) {
  const at::Tensor literal = make("a (cat:1.5)").latents, plain = make("a cat").latents;
  settings_.weighting = "a1111";
  EXPECT_TRUE(make("a cat").latents.equal(plain));
  EXPECT_TRUE(make("a \\(cat:1.5\\)").latents.equal(literal));
  const at::Tensor weighted = make("a (cat:1.5)").latents;
  EXPECT_GT(worst_difference(weighted, plain), 1e-3);
  EXPECT_GT(worst_difference(weighted, literal), 1e-3);
}

// Negative and prompt may have other lengths, and so may the neighbours in a batch.
TEST_F(PromptsTest, OfEveryLengthGoTogether) {
  const std::vector<Request> requests = {{kLong, std::nullopt, 1, "1"},
                                         {"a cat", kLong, 2, "2"},
                                         {"a cat", std::nullopt, 3, "3"},
                                         {kLong, kLong, 4, "4"}};
  for (const auto& [weighting, long_prompt] : std::vector<std::pair<const char*, const char*>>{
           {"a1111", "auto"}, {"none", "chunks"}, {"compel", "auto"}}) {
    settings_.weighting = weighting;
    settings_.long_prompt = long_prompt;
    const std::vector<Outcome> batch = pipeline_.generate(settings_, requests);
    for (size_t i = 0; i < requests.size(); ++i)
      EXPECT_LE(
          worst_difference(pipeline_.generate(settings_, {requests[i]}).front().latents, batch[i].latents),
          1e-5)
          << weighting << i;
  }
  EXPECT_TRUE(diagnostics_.warnings.empty());
}

TEST_F(PromptsTest, AreLengthenedByTheEmptyPromptOrTheLastToken) {
  const Manifest manifest = model();
  Networks networks(manifest, at::kCPU, at::kFloat);
  Conditioner conditioner(manifest, networks, diagnostics_);
  settings_.long_prompt = "chunks";
  const Request request{kLong, "a dog", 1, "prompt"};
  const auto context = [](const std::vector<Tensors>& images) { return images.front().at("context"); };
  BranchInputs inputs = encode_prompts(conditioner, manifest, settings_, {request});
  const at::Tensor empty = conditioner.encode("", "").at("context");
  EXPECT_EQ(context(inputs.prompts[0]).size(1), 4 * 77);
  EXPECT_TRUE(context(inputs.negative).slice(1, 0, 77).equal(conditioner.encode("a dog", "").at("context")));
  EXPECT_TRUE(context(inputs.negative).slice(1, 77).equal(empty.repeat({1, 3, 1})));

  settings_.weighting = "a1111";
  settings_.compose = true;
  inputs = encode_prompts(conditioner, manifest, settings_, {{kLong + " AND a dog", "a dog", 1, "prompt"}});
  EXPECT_EQ(context(inputs.negative).size(1), 77);
  const at::Tensor second = context(inputs.prompts[1]);
  EXPECT_EQ(second.size(1), context(inputs.prompts[0]).size(1));
  EXPECT_TRUE(second.slice(1, 77).equal(second.slice(1, 76, 77).expand({1, second.size(1) - 77, -1})));
}

TEST_F(PromptsTest, ThatAreLongAreNotLostInChunks) {
  settings_.long_prompt = "chunks";
  const at::Tensor whole = make(kLong).latents;
  EXPECT_TRUE(diagnostics_.warnings.empty());
  settings_.long_prompt = "truncate";
  EXPECT_GT(worst_difference(make(kLong).latents, whole), 1e-3);
  EXPECT_EQ(diagnostics_.warnings.size(), 1u);
  settings_.long_prompt = "auto";
  EXPECT_TRUE(make("a cat").latents.equal(make("a cat").latents));
}

TEST_F(PromptsTest, AloneSkipLayers) {
  const at::Tensor plain = make("a cat", "a dog").latents;
  settings_.clip_skip = 1;
  const at::Tensor skipped = make("a cat", "a dog").latents;
  EXPECT_GT(worst_difference(skipped, plain), 1e-3);
  const Manifest manifest = model();
  Networks networks(manifest, at::kCPU, at::kFloat);
  Conditioner conditioner(manifest, networks, diagnostics_);
  const BranchInputs inputs =
      encode_prompts(conditioner, manifest, settings_, {{"a cat", "a cat", 1, "prompt"}});
  EXPECT_TRUE(inputs.negative[0].at("context").equal(conditioner.encode("a cat", "").at("context")));
  EXPECT_FALSE(inputs.prompts[0][0].at("context").equal(inputs.negative[0].at("context")));
}

std::string fault(const Settings& settings, const Manifest& manifest) {
  try {
    check_settings(settings, manifest);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(PromptSettings, ThatAModelCannotFollowAreRefusedWithTheReason) {
  Manifest manifest = model();
  Settings settings = default_settings(manifest);
  settings.clip_skip = 1;
  EXPECT_EQ(fault(settings, manifest), "");
  settings.clip_skip = 2;
  try {
    testing::Collected diagnostics;
    Pipeline(manifest, {}, diagnostics).generate(settings, {{"a cat", std::nullopt, 1, "prompt"}});
    FAIL() << "the model has two layers";
  } catch (const UsageError& error) {
    EXPECT_NE(
        std::string(error.what()).find("--clip-skip 2: the network 'text' gives the states with at most 1"),
        std::string::npos);
  }
  manifest.networks["text"].outputs = {"hidden"};
  EXPECT_NE(fault(settings, manifest).find("the state after its last layer only"), std::string::npos);
  manifest.networks["text"].outputs = {"other", "layers"};
  manifest.conditioning[0].from[0].output = "other";
  EXPECT_NE(fault(settings, manifest).find("has no effect"), std::string::npos);

  settings = default_settings(manifest);
  manifest.tokenizers["clip"].kind = "sentencepiece";
  EXPECT_EQ(fault(settings, manifest), "");
  settings.weighting = "a1111";
  EXPECT_NE(fault(settings, manifest).find("--weighting is for CLIP"), std::string::npos);
  settings.weighting = "none";
  settings.long_prompt = "chunks";
  EXPECT_NE(fault(settings, manifest).find("--long-prompt chunks is for CLIP"), std::string::npos);
  settings.weighting = "a111";
  EXPECT_NE(fault(settings, manifest).find("did you mean 'a1111'"), std::string::npos);
}

TEST(PromptSettings, RefuseAPromptThatChangesFromStepToStep) {
  Settings settings = default_settings(model());
  EXPECT_NO_THROW(check_prompt(settings, "[cat:dog:0.5]"));
  settings.weighting = "a1111";
  EXPECT_THROW(check_prompt(settings, "[cat:dog:0.5]"), UsageError);
  EXPECT_THROW(check_negative_prompt(settings, "[cat|dog]"), UsageError);
  settings.weighting = "compel";
  EXPECT_NO_THROW(check_prompt(settings, "[cat:dog:0.5]"));
  EXPECT_THROW(check_prompt(settings, "cat.swap(dog)"), UsageError);
  for (const char* weighting : {"none", "a1111", "compel"}) {
    settings.weighting = weighting;
    EXPECT_NO_THROW(check_prompt(settings, "\xff BREAK\xe6 (cat\xc3:1.2)"));
  }
}

}  // namespace
}  // namespace darkroom
