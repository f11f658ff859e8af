#include "darkroom/model/manifest.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "darkroom/base/error.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ManifestTest : public ::testing::Test {
 protected:
  ManifestTest() { fs::copy(DARKROOM_TEST_DATA "/models/tiny", folder_.path(), fs::copy_options::recursive); }

  void write(const std::string& text) { std::ofstream(folder_.path() / "model.json") << text; }

  // What read_manifest says of tiny's model.json after a change; "" if it accepts it.
  std::string fault_after(const std::function<void(json&)>& change) {
    json document = json::parse(std::ifstream(DARKROOM_TEST_DATA "/models/tiny/model.json"));
    change(document);
    write(document.dump());
    return fault();
  }

  std::string fault() {
    try {
      read_manifest(folder_.path());
      return "";
    } catch (const ModelError& error) {
      return error.what();
    }
  }

  testing::TemporaryFolder folder_;
};

TEST_F(ManifestTest, ReadsEveryKey) {
  const Manifest m = read_manifest(folder_.path());
  EXPECT_EQ(m.name, "tiny");
  EXPECT_EQ(m.networks.size(), 3u);
  EXPECT_EQ(m.networks.at("unet").inputs, (std::vector<std::string>{"sample", "timestep", "context"}));
  EXPECT_EQ(m.networks.at("unet").stored_precision, "fp32");
  EXPECT_GT(m.networks.at("unet").parameters, 0);
  EXPECT_EQ(m.tokenizers.at("clip").length, 77);
  ASSERT_EQ(m.conditioning.at(0).from.size(), 1u);
  const auto& [network, output, tokenizer] = m.conditioning.at(0).from.front();
  EXPECT_EQ(network + "." + output + ", " + tokenizer, "text.hidden, clip");
  EXPECT_EQ(m.stages.at(0).schedule.kind, "scaled_linear");
  EXPECT_EQ(m.stages.at(0).steps_offset, 1);
  EXPECT_FALSE(m.stages.at(0).set_alpha_to_one);
  EXPECT_DOUBLE_EQ(m.output.scale, 0.18215);
  EXPECT_EQ(m.defaults.sampler, "ddim");
}

TEST_F(ManifestTest, ReadsRectifiedFlowAndAlignYourSteps) {
  EXPECT_EQ(fault_after([](json& j) {
              j["stages"][0]["schedule"] = {
                  {"kind", "flow"}, {"shift_terminal", 0.1}, {"dynamic", {{"kind", "linear"}}}};
            }),
            "");
  const Manifest flow = read_manifest(folder_.path());
  EXPECT_EQ(flow.stages[0].flow->terminal, 0.1);
  EXPECT_FALSE(flow.stages[0].flow->dynamic->exponential);
  EXPECT_EQ(fault_after([](json& j) {
              j["stages"][0]["align_your_steps"] = {{"timesteps", {999, 500, 24}}};
            }),
            "");
  const std::vector<double> levels = read_manifest(folder_.path()).stages[0].align_your_steps;
  ASSERT_EQ(levels.size(), 4);  // and the lowest trained level
  EXPECT_GT(levels[2], levels[3]);
}

TEST_F(ManifestTest, ReadsWhatIsMerged) {
  const std::string hash(64, 'a');
  EXPECT_EQ(fault_after([&](json& j) {
              j["merged"] = {{{"file", "style.safetensors"}, {"sha256", hash}, {"weight", 0.5}}};
            }),
            "");
  const Manifest::MergedLora merged = read_manifest(folder_.path()).merged.at(0);
  EXPECT_EQ(merged.file, "style.safetensors");  // which need not be there
  EXPECT_EQ(merged.sha256, hash);
  EXPECT_EQ(merged.weight, 0.5);
}

TEST_F(ManifestTest, KnowsInputsForAControlNet) {
  EXPECT_EQ(fault_after([](json& j) {
              for (const char* role : {"residual_0", "residual_mid"})
                j["networks"]["unet"]["inputs"].push_back(role);
            }),
            "");
}

TEST_F(ManifestTest, NamesTheKeyAtFault) {
  struct Case {
    std::function<void(json&)> change;
    std::string key;
  };
  const std::vector<Case> cases = {
      {[](json& j) { j["format"] = 2; }, "format is 2"},
      {[](json& j) { j.erase("name"); }, "name is missing"},
      {[](json& j) {
         j["stages"][0]["align_your_steps"] = {{"sigmas", {5, 5, 1}}};
       },
       "align_your_steps.sigmas does not descend"},
      {[](json& j) {
         j["stages"][0]["schedule"] = {{"kind", "flow"}, {"shift", 0}};
       },
       "schedule.shift is 0"},
      {[](json& j) {
         j["stages"][0]["schedule"] = {{"kind", "flow"}, {"beta_start", 1}};
       },
       "beta_start is no key"},
      {[](json& j) { j["colour"] = 1; }, "colour is no key"},
      {[](json& j) {
         j["merged"] = {{{"file", "x"}, {"sha256", "12"}}};
       },
       "merged[0].sha256 is no SHA-256"},
      {[](json& j) { j["networks"]["unet"]["typo"] = 1; }, "networks.unet.typo is no key"},
      {[](json& j) { j["networks"]["unet"]["file"] = "other.pt"; }, "networks.unet.file names 'other.pt'"},
      {[](json& j) { j["networks"]["unet"]["file"] = "../unet.pt"; }, "networks.unet.file is '../unet.pt'"},
      {[](json& j) { j["networks"]["unet"]["sha256"] = "12"; }, "networks.unet.sha256 is no SHA-256"},
      {[](json& j) { j["networks"]["unet"]["inputs"] = 5; }, "networks.unet.inputs is no list"},
      {[](json& j) { j["networks"]["unet"]["stored_precision"] = "fp23"; }, "networks.unet.stored_precision"},
      {[](json& j) { j["networks"]["unet"]["inputs"].push_back("pooled"); },
       "'pooled', which no conditioning"},
      {[](json& j) { j["networks"]["unet"]["outputs"] = json::array(); }, "networks.unet.outputs is empty"},
      {[](json& j) { j["networks"]["unet"]["precisions"] = {"fp31"}; }, "networks.unet.precisions holds"},
      {[](json& j) {
         j["networks"]["unet"]["outputs"] = {"a", "b"};
       },
       "stages[0].denoiser has several outputs"},
      {[](json& j) { j["networks"]["text"]["file"] = std::string(300, 'a'); },
       "networks.text.file names 'aaa"},
      {[](json& j) {
         j["stages"][0]["state"] = {"4", "h/8"};
       },
       "stages[0].state must be"},
      {[](json& j) {
         j["stages"][0]["state"] = {"4", "hh/8", "w/8"};
       },
       "stages[0].state must be"},
      {[](json& j) { j["stages"][0]["schedule"]["beta_start"] = 5; },
       "stages[0].schedule.kind makes no schedule"},
      {[](json& j) { j["stages"][0]["clip_sample"] = 0; }, "stages[0].clip_sample is 0"},
      {[](json& j) {
         j["stages"][0]["thresholding"] = {{"ratio", 2}, {"max", 1}};
       },
       "thresholding.ratio is over 1"},
      {[](json& j) { j["output"]["decoder"] = "unet"; }, "output.decoder must have one input"},
      {[](json& j) { j["tokenizers"]["clip"]["kind"] = "clip"; }, "tokenizers.clip.kind"},
      {[](json& j) { j["tokenizers"]["clip"]["length"] = 77.5; }, "tokenizers.clip.length is 77.5"},
      {[](json& j) { j["conditioning"][0]["from"] = {"text.pooled"}; },
       "conditioning[0].from names 'text.pooled'"},
      {[](json& j) { j["conditioning"][0]["tokenizer"] = "t5"; }, "conditioning[0].tokenizer names 't5'"},
      {[](json& j) {
         j["conditioning"][0]["tokenizer"] = {"clip", "clip"};
       },
       "conditioning[0].tokenizer must name one"},
      {[](json& j) { j["conditioning"][0]["join"] = "rows"; }, "conditioning[0].join"},
      {[](json& j) {
         j["conditioning"].push_back({{"role", "time_ids"}, {"values", {"crop_topp"}}});
       },
       "did you mean 'crop_top'"},
      {[](json& j) { j["stages"][0]["kind"] = "prior"; }, "stages[0].kind"},
      {[](json& j) { j["stages"][0]["denoiser"] = "net"; }, "stages[0].denoiser names 'net'"},
      {[](json& j) { j["stages"][0]["prediction"] = "v-pred"; }, "stages[0].prediction"},
      {[](json& j) { j["stages"][0]["schedule"]["kind"] = "scaled"; }, "stages[0].schedule.kind"},
      {[](json& j) { j["stages"][0]["schedule"]["steps"] = 0; }, "stages[0].schedule.steps is 0"},
      {[](json& j) { j["stages"][0]["steps_offset"] = 1000; }, "stages[0].steps_offset is 1000"},
      {[](json& j) { j["stages"].clear(); }, "stages must hold one"},
      {[](json& j) { j["output"]["decoder"] = "vae"; }, "output.decoder names 'vae'"},
      {[](json& j) { j["output"]["scale"] = 0; }, "output.scale is 0"},
      {[](json& j) { j["defaults"]["sampler"] = "ddimm"; }, "did you mean 'ddim'"},
      {[](json& j) { j["defaults"]["width"] = -8; }, "defaults.width is -8"},
      {[](json& j) { j["networks"] = json::array(); }, "networks is no object"},
  };
  for (const Case& c : cases) {
    const std::string fault = fault_after(c.change);
    EXPECT_NE(fault.find(c.key), std::string::npos) << "expected: " << c.key << "\nsaid: " << fault;
    EXPECT_NE(fault.find("model.json"), std::string::npos) << fault;
  }
}

TEST_F(ManifestTest, NamesTheLineOfBrokenJson) {
  write("{\n  \"format\": 1,\n  \"name\": oops\n}");
  EXPECT_NE(fault().find("line 3"), std::string::npos) << fault();
  write("[]");
  EXPECT_NE(fault().find("no object"), std::string::npos) << fault();
  fs::remove(folder_.path() / "model.json");
  EXPECT_NE(fault().find("model.json"), std::string::npos) << fault();
}

}  // namespace
}  // namespace darkroom
