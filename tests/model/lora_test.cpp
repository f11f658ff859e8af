// LoRA files on the networks of tests/models/tiny: tests/goldens/record_lora.py.
#include "darkroom/model/lora.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "darkroom/base/error.h"
#include "darkroom/model/pipeline.h"
#include "model/adaptation.h"
#include "model/conditioner.h"
#include "model/load.h"
#include "support/collected.h"
#include "support/golden.h"
#include "support/stand_in_device.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::tensor_of;
using testing::worst_difference;
using Views = std::map<std::string, TensorView>;

const Safetensors& goldens() {
  static const Safetensors file(DARKROOM_TEST_DATA "/goldens/lora.safetensors");
  return file;
}

/// What is recorded under "PREFIX/", without it.
Views recorded(const std::string& prefix) {
  Views views;
  for (const auto& [name, view] : goldens().tensors())
    if (name.starts_with(prefix + "/")) views[name.substr(prefix.size() + 1)] = view;
  return views;
}

Tensors copied(const Network& network) {
  Tensors copies;
  for (const auto& [name, parameter] : network.parameters()) copies[name] = parameter.clone();
  return copies;
}

class LoraFiles : public ::testing::Test {
 protected:
  const Manifest manifest_ = read_manifest(DARKROOM_TEST_DATA "/models/tiny");
  const testing::TemporaryFolder folder_;
  testing::Collected diagnostics_;

  std::filesystem::path write(const Views& tensors, const std::map<std::string, std::string>& metadata = {}) {
    const std::filesystem::path file = folder_.path() / (std::to_string(++files_) + ".safetensors");
    write_safetensors(file, tensors, metadata, false);
    return file;
  }

  Lora recorded_lora(const std::string& name, double weight = 1) {
    const json metadata = json::parse(goldens().metadata().at("files")).at(name);
    return {write(recorded("file." + name), metadata.get<std::map<std::string, std::string>>()), weight};
  }

  std::vector<Lora> loras_of(const json& golden) {
    std::vector<Lora> loras;
    for (const json& lora : golden["loras"]) loras.push_back(recorded_lora(lora[0], lora[1]));
    return loras;
  }

  Network load(const std::string& name, at::ScalarType precision = at::kFloat) {
    return load_network(manifest_, name, at::kCPU, precision);
  }

  /// The message of the ModelError with which this file is refused.
  std::string refusal(const Views& tensors, const std::map<std::string, std::string>& metadata = {}) {
    try {
      Adaptation(manifest_, {{write(tensors, metadata)}});
    } catch (const ModelError& error) {
      return error.what();
    }
    ADD_FAILURE() << "no ModelError";
    return "";
  }

 private:
  int files_ = 0;
};

class Recorded : public LoraFiles, public ::testing::WithParamInterface<json> {};

TEST_P(Recorded, ChangesTheSameWeightsByTheSame) {
  const Adaptation adaptation(manifest_, loras_of(GetParam()));
  EXPECT_TRUE(adaptation.warnings().empty());
  const std::string name = GetParam()["name"];
  double worst = 0;
  for (const char* network_name : {"unet", "text"}) {
    Network network = load(network_name);
    const Tensors before = copied(network);
    adaptation.apply(network);
    const Views wanted = recorded(name + "/" + network_name);
    for (const auto& [parameter, value] : network.parameters()) {
      if (wanted.contains(parameter))
        worst = std::max(worst, worst_difference(value, tensor_of(wanted.at(parameter))));
      else
        EXPECT_TRUE(at::equal(value, before.at(parameter))) << parameter;
    }
    Adaptation(manifest_, {}).apply(network);
    for (const auto& [parameter, value] : network.parameters())
      EXPECT_TRUE(at::equal(value, before.at(parameter))) << parameter << " is not what it was";
  }
  std::printf("%-12s weights %.1e\n", name.c_str(), worst);
  EXPECT_LE(worst, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Lora, Recorded, ::testing::ValuesIn(json::parse(goldens().metadata().at("cases"))),
                         [](const auto& test) {
                           std::string label = test.param["name"];
                           std::ranges::replace(label, '-', '_');
                           return label;
                         });

class LoraRun : public LoraFiles {
 protected:
  Settings settings() const {
    Settings s = default_settings(manifest_);
    s.width = run_["width"];
    s.height = run_["height"];
    s.steps = run_["steps"];
    s.cfg_scale = run_["cfg_scale"];
    return s;
  }

  at::Tensor latents(Pipeline& pipeline, const Settings& settings) {
    const Request request{run_["prompt"], run_["negative_prompt"].get<std::string>(), run_["seed"], "prompt"};
    return pipeline.generate(settings, {request}).front().latents.cpu();
  }

  const json run_ = json::parse(goldens().metadata().at("run"));
};

TEST_F(LoraRun, EqualsDiffusersWithTwoFused) {
  Settings s = settings();
  s.loras = {recorded_lora("kohya", 0.7), recorded_lora("locon-bf16", -0.4)};
  const at::Tensor wanted = tensor_of(goldens().at("two/latents"));
  for (const at::Device device : {at::Device(at::kCPU), testing::stand_in_device()}) {
    for (const std::string& offload : offload_names()) {
      Pipeline pipeline(manifest_, {.device = device, .offload = find_offload(offload)}, diagnostics_);
      const at::Tensor plain = latents(pipeline, settings());
      const double worst = worst_difference(latents(pipeline, s), wanted[-1][0]);
      EXPECT_LE(worst, 1e-4) << device << ", offload " << offload;
      EXPECT_GT(worst_difference(plain, wanted[-1][0]), 1e-2) << "these LoRAs change too little to be seen";
      EXPECT_TRUE(at::equal(latents(pipeline, settings()), plain)) << device << ", offload " << offload;
    }
  }
}

class Offloaded : public LoraRun, public ::testing::WithParamInterface<std::pair<Offload, at::ScalarType>> {};

TEST_P(Offloaded, ALoraLeavesNothingBehind) {
  Pipeline::Options options;
  options.offload = GetParam().first;
  options.precision = GetParam().second;
  Settings adapted = settings(), other = settings();
  adapted.loras = {recorded_lora("kohya-fp16")};
  other.loras = {recorded_lora("kohya-fp16", 0.5)};
  Pipeline pipeline(manifest_, options, diagnostics_), fresh(manifest_, options, diagnostics_);
  const at::Tensor plain = latents(pipeline, settings()), first = latents(pipeline, adapted);
  EXPECT_FALSE(at::equal(first, plain));
  EXPECT_FALSE(at::equal(latents(pipeline, other), first));
  EXPECT_TRUE(at::equal(latents(pipeline, adapted), first));
  EXPECT_TRUE(at::equal(latents(pipeline, settings()), plain));
  EXPECT_TRUE(at::equal(latents(fresh, adapted), first));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Offloaded,
                         ::testing::Values(std::pair(Offload::none, at::kFloat),
                                           std::pair(Offload::text, at::kFloat),
                                           std::pair(Offload::all, at::kFloat),
                                           std::pair(Offload::none, at::kBFloat16)));

TEST_F(LoraRun, PromptsAreEncodedAnewForATextEncodersLora) {
  Views text_alone;
  for (const auto& [key, view] : recorded("file.kohya"))
    if (key.starts_with("lora_te_")) text_alone[key] = view;
  Settings adapted = settings();
  adapted.loras = {{write(text_alone)}};
  Pipeline pipeline(manifest_, {}, diagnostics_);
  const at::Tensor plain = latents(pipeline, settings()), changed = latents(pipeline, adapted);
  EXPECT_GT(worst_difference(changed, plain), 1e-3);
  EXPECT_TRUE(at::equal(latents(pipeline, settings()), plain));
}

TEST_F(LoraRun, AFileThatCannotBeAppliedLeavesTheModelAlone) {
  Views wrong = recorded("file.kohya");
  const at::Tensor odd = at::zeros({2, 9});
  wrong["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"] = {
      "F32", {2, 9}, {static_cast<const uint8_t*>(odd.const_data_ptr()), odd.nbytes()}};
  Settings adapted = settings();
  adapted.loras = {{write(wrong)}};
  Pipeline pipeline(manifest_, {}, diagnostics_);
  const at::Tensor plain = latents(pipeline, settings());
  EXPECT_THROW(latents(pipeline, adapted), ModelError);
  EXPECT_TRUE(at::equal(latents(pipeline, settings()), plain));
}

TEST_F(LoraRun, UnusedKeysAreNamedOnce) {
  Views more = recorded("file.kohya");
  for (int i = 0; i < 4; ++i)
    for (const char* part : {"lora_down.weight", "lora_up.weight", "alpha"})
      more[std::string("lora_unet_gone_").append(std::to_string(i)).append(".").append(part)] =
          more.at(std::string("lora_unet_mid_block_attentions_0_proj_in.") + part);
  more["lora_te3_x.alpha"] = more.at("lora_unet_mid_block_attentions_0_proj_in.alpha");
  Settings adapted = settings();
  adapted.loras = {{write(more)}};
  Pipeline pipeline(manifest_, {}, diagnostics_);
  for (int i = 0; i < 2; ++i) {
    latents(pipeline, adapted);
    latents(pipeline, settings());
  }
  ASSERT_EQ(diagnostics_.warnings.size(), 1u);
  const Warning& warning = diagnostics_.warnings.front();
  EXPECT_EQ(warning.kind, "lora_keys_unused");
  EXPECT_EQ(warning.place, adapted.loras.front().file.string());
  EXPECT_TRUE(warning.text.starts_with(
      "13 of its tensors change nothing in this model: lora_te3_x.alpha, lora_unet_gone_0."))
      << warning.text;
  EXPECT_EQ(std::ranges::count(warning.text, ','), 10) << warning.text;
  EXPECT_TRUE(warning.text.ends_with(", ..."));
}

#define EXPECT_SAYS(message, words) EXPECT_NE((message).find(words), std::string::npos) << (message)

TEST_F(LoraFiles, ShapesThatContradictAreNamed) {
  Views file = recorded("file.kohya");
  const std::string stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
  const Views whole = file;
  file[stem + ".lora_down.weight"] =
      whole.at("lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2.lora_down.weight");
  std::string message = refusal(file);
  EXPECT_SAYS(message, "'" + stem + ".lora_down.weight' has the shape [");
  EXPECT_SAYS(message, ", 32]");
  EXPECT_SAYS(message,
              "'mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight' of network 'unet' is [8, 8]");
  file = whole;
  file[stem + ".lora_up.weight"] =
      whole.at("lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj.lora_up.weight");
  message = refusal(file);
  EXPECT_SAYS(message, "'" + stem + ".lora_up.weight' has the shape [64, ");
  file = recorded("file.tucker");
  file["lora_unet_mid_block_resnets_0_conv1.lora_down.weight"] =
      whole.at("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight");
  EXPECT_SAYS(refusal(file), "'lora_unet_mid_block_resnets_0_conv1.lora_down.weight' has the shape [");
}

TEST_F(LoraFiles, WhatCannotBeAppliedIsRefusedWithTheReason) {
  const Views whole = recorded("file.kohya");
  const std::string stem = "lora_unet_mid_block_attentions_0_proj_in.";
  Views file = whole;
  file[stem + "dora_scale"] = whole.at(stem + "alpha");
  EXPECT_SAYS(refusal(file), "is DoRA ('" + stem + "dora_scale')");
  file = whole;
  file.erase(stem + "lora_up.weight");
  EXPECT_SAYS(refusal(file), "holds '" + stem + "lora_down.weight' without the other half, up");
  file = whole;
  file.erase(stem + "lora_down.weight");
  EXPECT_SAYS(refusal(file), "holds '" + stem + "lora_up.weight' without the other half, down");
  file = whole;
  file[stem + "alpha"] = whole.at(stem + "lora_up.weight");
  EXPECT_SAYS(refusal(file), "holds '" + stem + "alpha', which is not one number");
  file = whole;
  file[stem + "lora_up.weight"].dtype = "I32";
  EXPECT_SAYS(refusal(file), "as I32");
  EXPECT_SAYS(refusal({{"model.diffusion_model.out.0.weight", whole.at(stem + "lora_up.weight")}}),
              "holds no LoRA but tensors such as 'model.diffusion_model.out.0.weight'");
  EXPECT_SAYS(refusal({}), "holds no LoRA");
  EXPECT_SAYS(refusal(whole, {{"lora_adapter_metadata", "{\"unet.r\": 4"}}), "lora_adapter_metadata");
  Views elsewhere;
  for (const auto& [key, view] : whole)
    if (key.starts_with("lora_te_")) elsewhere[std::string("lora_te2_").append(key, 8)] = view;
  EXPECT_SAYS(refusal(elsewhere), "changes nothing in model 'tiny': 'lora_te2_");
}

TEST_F(LoraFiles, ALinearLayersFactorsFitAConvolutionOfOnePixel) {
  Views file = recorded("file.kohya");
  const std::string stem = "lora_unet_mid_block_attentions_0_proj_in.";
  Network convolution = load("unet"), linear = load("unet");
  Adaptation(manifest_, {{write(file)}}).apply(convolution);
  for (const char* part : {"lora_down.weight", "lora_up.weight"}) file[stem + part].shape.resize(2);
  Adaptation(manifest_, {{write(file)}}).apply(linear);
  const std::string weight = "mid_block.attentions.0.proj_in.weight";
  EXPECT_TRUE(at::equal(convolution.parameters().at(weight), linear.parameters().at(weight)));
}

TEST_F(LoraFiles, AtWeightZeroEveryParameterIsTheFiles) {
  Network network = load("unet", at::kHalf);
  const Tensors before = copied(network);
  Adaptation(manifest_, {recorded_lora("kohya", 0)}).apply(network);
  for (const auto& [name, value] : network.parameters())
    EXPECT_TRUE(at::equal(value, before.at(name))) << name;
}

}  // namespace
}  // namespace darkroom
