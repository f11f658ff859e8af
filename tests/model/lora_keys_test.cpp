#include "model/lora_keys.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "darkroom/data/safetensors.h"

namespace darkroom {
namespace {

struct Case {
  const char *key, *component, *module;
  LoraPart part;
};

class Keys : public ::testing::TestWithParam<Case> {};

TEST_P(Keys, AreRead) {
  const std::optional<LoraKey> key = parse_lora_key(GetParam().key);
  ASSERT_TRUE(key) << GetParam().key;
  EXPECT_EQ(key->component, GetParam().component);
  EXPECT_EQ(key->module, GetParam().module);
  EXPECT_EQ(key->part, GetParam().part);
}

using enum LoraPart;
const char* const kToQ = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q";
const char* const kToOut = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0";
const char* const kProjection = "encoder_layers_3_self_attn_q_proj";

INSTANTIATE_TEST_SUITE_P(
    Kohya, Keys,
    ::testing::Values(
        Case{"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight", "unet",
             kToQ, down},
        Case{"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_up.weight",
             "unet", kToOut, up},
        Case{"lora_unet_mid_block_resnets_0_conv1.lora_mid.weight", "unet", "mid_block_resnets_0_conv1", mid},
        Case{"lora_unet_conv_in.alpha", "unet", "conv_in", alpha},
        Case{"lora_unet_input_blocks_4_1_proj_in.lora_down.weight", "unet", "input_blocks_4_1_proj_in", down},
        Case{"lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_up.weight", "text_encoder",
             kProjection, up},
        Case{"lora_te1_text_model_encoder_layers_3_self_attn_q_proj.alpha", "text_encoder", kProjection,
             alpha},
        Case{"lora_te2_text_model_encoder_layers_3_self_attn_q_proj.lora_down.weight", "text_encoder_2",
             kProjection, down},
        Case{"lora_te2_text_projection.lora_down.weight", "text_encoder_2", "text_projection", down}));

INSTANTIATE_TEST_SUITE_P(
    Diffusers, Keys,
    ::testing::Values(
        Case{"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", "unet", kToQ,
             down},
        Case{"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.default_0.weight",
             "unet", kToQ, up},
        Case{"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0.lora.up.weight", "unet",
             kToOut, up},
        Case{"unet.conv_in.lora.down.weight", "unet", "conv_in", down},
        Case{"unet.conv_in.alpha", "unet", "conv_in", alpha},
        Case{"down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight", "unet", kToQ, down},
        Case{"text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.up.weight",
             "text_encoder", kProjection, up},
        Case{"text_encoder.encoder.layers.3.self_attn.q_proj.lora_A.weight", "text_encoder", kProjection,
             down},
        Case{"text_encoder_2.text_model.encoder.layers.3.self_attn.q_proj.lora_B.weight", "text_encoder_2",
             kProjection, up}));

INSTANTIATE_TEST_SUITE_P(
    ProcessorsOfOld, Keys,
    ::testing::Values(
        Case{"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
             "unet", kToQ, down},
        Case{"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
             "unet", kToOut, up},
        Case{"down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight", "unet",
             kToOut, up},
        Case{"text_encoder.text_model.encoder.layers.3.self_attn.to_q_lora.down.weight", "text_encoder",
             kProjection, down},
        Case{"text_encoder.text_model.encoder.layers.3.self_attn.to_out_lora.up.weight", "text_encoder",
             "encoder_layers_3_self_attn_out_proj", up}));

TEST(LoraKeys, OthersAreNone) {
  for (const char* key :
       {"", ".alpha", "model.diffusion_model.input_blocks.0.0.weight", "unet.conv_in.weight",
        "lora_te3_encoder_block_0.lora_down.weight", "transformer.x.lora_A.weight", "string_to_param"})
    EXPECT_FALSE(parse_lora_key(key)) << key;
}

TEST(LoraKeys, EndlessKeysAreNone) {
  const std::string endless(1'000'000, 'x');
  for (const char* end : {".lora_A.weight", ".lora_down.weight", ".dora_scale", ""}) {
    EXPECT_FALSE(parse_lora_key("unet." + endless + end));
    EXPECT_EQ(unsupported_kind("unet." + endless + end), "");
  }
}

TEST(LoraKeys, KindsThatCannotBeAppliedAreNamed) {
  const std::map<std::string, std::string> kinds = {
      {"lora_unet_conv_in.dora_scale", "DoRA"},
      {"unet.conv_in.lora_magnitude_vector.weight", "DoRA"},
      {"unet.conv_in.lora_magnitude_vector", "DoRA"},
      {"lora_unet_conv_in.hada_w1_a", "LoHa"},
      {"lora_unet_conv_in.hada_t2", "LoHa"},
      {"lora_unet_conv_in.lokr_w1", "LoKr"},
      {"lora_unet_conv_in.lokr_w2_b", "LoKr"},
      {"lora_unet_conv_in.oft_blocks", "OFT"},
      {"unet.conv_in.oft_R.weight", "OFT"},
      {"lora_unet_conv_in.on_input", "IA3"},
      {"lora_unet_conv_in.a1.weight", "GLoRA"},
      {"lora_unet_conv_in.diff", "a full difference of weights"},
      {"lora_unet_conv_in.diff_b", "a full difference of weights"},
      {"unet.conv_in.lora_B.bias", "a LoRA that changes biases"},
      {"lora_unet_conv_in.lora_down.weight", ""},
      {"unet.conv_in.lora_B.weight", ""},
      {"model.diffusion_model.input_blocks.0.0.weight", ""}};
  for (const auto& [key, kind] : kinds) EXPECT_EQ(unsupported_kind(key), kind) << key;
}

TEST(LoraKeys, FlatNamesFindParameters) {
  const auto modules =
      modules_by_flat_name({"text_model.encoder.layers.0.mlp.fc1.weight", "x.fc1.bias", "conv_in.weight"});
  const std::map<std::string, std::string> wanted = {
      {"encoder_layers_0_mlp_fc1", "text_model.encoder.layers.0.mlp.fc1.weight"},
      {"conv_in", "conv_in.weight"}};
  EXPECT_EQ(modules, wanted);
}

/// Against diffusers' own conversion of whole checkpoints: tests/goldens/record_lora.py.
TEST(LoraKeys, OriginalNamesAreThoseOfCheckpoints) {
  const Safetensors goldens(DARKROOM_TEST_DATA "/goldens/lora.safetensors");
  const auto families = nlohmann::json::parse(goldens.metadata().at("original_names"));
  ASSERT_EQ(families.size(), 2u);
  for (const auto& [family, recorded] : families.items()) {
    std::vector<std::string> parameters;
    std::map<std::string, std::string> wanted;
    for (const auto& [original, module] : recorded.items()) {
      const std::string parameter = module.get<std::string>() + ".weight";
      parameters.push_back(parameter);
      wanted[flat_name(original)] = parameter;
    }
    EXPECT_GT(wanted.size(), 250u) << family;
    EXPECT_EQ(modules_by_original_name(parameters), wanted) << family;
  }
}

}  // namespace
}  // namespace darkroom
