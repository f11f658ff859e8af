#include "app/png_record.h"

#include <gtest/gtest.h>

namespace darkroom {
namespace {

class PngRecord : public testing::Test {
 protected:
  PngRecord() : origin_{read_manifest(DARKROOM_TEST_DATA "/models/tiny"), "abc", "fp32", "cpu"} {
    static_cast<Settings&>(options_) = default_settings(origin_.manifest);
    options_.prompt = "a cat";
    options_.seed = 5;
  }

  nlohmann::json record() const { return picture_record(options_, origin_, nlohmann::json::object()); }

  Origin origin_;
  Options options_;
};

TEST_F(PngRecord, EveryOptionThatDecidesThePictureIsCompared) {
  const nlohmann::json before = record();
  EXPECT_EQ(difference(before, record(), false), "");
  for (const Option& option : option_table()) {
    if (option.scope != Scope::picture) continue;
    nlohmann::json other = before;
    other[option.key()] = "another";
    EXPECT_NE(difference(other, before, false), "") << option.name;
    other.erase(option.key());
    EXPECT_EQ(difference(other, before, false).empty(), before[option.key()].is_null()) << option.name;
  }
}

TEST_F(PngRecord, SaysWhatIsDifferent) {
  const nlohmann::json before = record();
  options_.seed = 7;
  EXPECT_EQ(difference(before, record(), false), "seed: 5 there, 7 asked for");
  EXPECT_EQ(difference(nullptr, record(), false), "it has no record of how it was made");
}

TEST_F(PngRecord, ComparesTheModelByItsFilesAlone) {
  const nlohmann::json before = record();
  origin_.manifest.name = "renamed";
  origin_.device = "cuda:0";
  EXPECT_EQ(difference(before, record(), false), "");
  origin_.manifest.networks["unet"].sha256 = "00";
  EXPECT_EQ(difference(before, record(), false), "another model, or another version of it");
}

TEST_F(PngRecord, ComparesThePrecisionIfItWasAskedFor) {
  const nlohmann::json before = record();
  origin_.precision = "bf16";
  EXPECT_EQ(difference(before, record(), true), "");
  EXPECT_NE(difference(before, record(), false), "");
}

TEST_F(PngRecord, InvalidUtf8ComparesEqualToItsRecord) {
  options_.prompt = "a \xff cat";
  const nlohmann::json made = record();
  EXPECT_EQ(made["prompt"], "a \xEF\xBF\xBD cat");
  EXPECT_EQ(difference(nlohmann::json::parse(picture_texts(made)[1].second), record(), false), "");
}

TEST_F(PngRecord, TellsOtherPrograms) {
  options_.negative_prompt = "dog";
  const std::vector<PngText> texts = picture_texts(record());
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(texts[0].first, "parameters");
  EXPECT_TRUE(texts[0].second.starts_with("a cat\nNegative prompt: dog\nSteps: 5, Sampler: ddim, "));
  const std::string hash = origin_.manifest.networks.at("unet").sha256.substr(0, 10);
  EXPECT_NE(
      texts[0].second.find("CFG scale: 7.5, Seed: 5, Size: 64x64, Model hash: " + hash + ", Model: tiny"),
      std::string::npos);
}

}  // namespace
}  // namespace darkroom
