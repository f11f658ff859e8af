#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// What a tensor of a LoRA file is to its module: the change is scale * up * [mid *] down.
enum class LoraPart { down, up, mid, alpha };

/// "down_blocks.1.proj_in" -> "down_blocks_1_proj_in", as kohya's trainers write names. The outer
/// "text_model" that text encoders have in some versions of transformers is left out.
std::string flat_name(std::string name);

/// A key of a LoRA file, as kohya's trainers, diffusers (today's and its attention processors of old) and
/// PEFT write them.
struct LoraKey {
  std::string component;  ///< "unet", "text_encoder", "text_encoder_2": diffusers' names
  std::string module;     ///< flat_name
  LoraPart part = LoraPart::down;
};

/// None for a key of another form.
std::optional<LoraKey> parse_lora_key(std::string_view key);

/// What the key says the file is, if that cannot be applied: "DoRA", "LoHa", ...; empty for any other key.
std::string unsupported_kind(const std::string& key);

/// The parameters "MODULE.weight" by the module's flat name.
std::map<std::string, std::string> modules_by_flat_name(const std::vector<std::string>& parameters);

/// The same by the names that the modules of a U-Net have in the original code of Stable Diffusion
/// ("input_blocks_4_1_proj_in"), which kohya's trainers use for SDXL. Empty where it is no such U-Net.
std::map<std::string, std::string> modules_by_original_name(const std::vector<std::string>& parameters);

}  // namespace darkroom
