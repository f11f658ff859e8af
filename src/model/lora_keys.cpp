#include "model/lora_keys.h"

#include <algorithm>
#include <array>
#include <regex>
#include <utility>

namespace darkroom {
namespace {

struct Ending {
  std::string_view text;
  LoraPart part;
};
// The longer of two that end alike comes first.
constexpr std::array kEndings = {
    Ending{".lora_linear_layer.down.weight", LoraPart::down},
    Ending{".lora_linear_layer.up.weight", LoraPart::up},
    Ending{".lora.down.weight", LoraPart::down},
    Ending{".lora.up.weight", LoraPart::up},
    Ending{"_lora.down.weight", LoraPart::down},
    Ending{"_lora.up.weight", LoraPart::up},
    Ending{".lora_down.weight", LoraPart::down},
    Ending{".lora_up.weight", LoraPart::up},
    Ending{".lora_mid.weight", LoraPart::mid},
    Ending{".lora_A.weight", LoraPart::down},
    Ending{".lora_B.weight", LoraPart::up},
    Ending{"_lora.alpha", LoraPart::alpha},
    Ending{".alpha", LoraPart::alpha},
};

struct Prefix {
  std::string_view text, component;
};
constexpr std::array kPrefixes = {
    Prefix{"lora_unet_", "unet"},
    Prefix{"lora_te_", "text_encoder"},
    Prefix{"lora_te1_", "text_encoder"},
    Prefix{"lora_te2_", "text_encoder_2"},
    Prefix{"unet.", "unet"},
    Prefix{"text_encoder.", "text_encoder"},
    Prefix{"text_encoder_2.", "text_encoder_2"},
    // diffusers' save_attn_procs and save_lora_adapter name the U-Net's modules alone.
    Prefix{"down_blocks.", "unet"},
    Prefix{"mid_block.", "unet"},
    Prefix{"up_blocks.", "unet"},
};

// std::regex needs stack for every character; no trainer writes a key of this length.
constexpr size_t kLongestKey = 512;

/// How keys of other kinds of file end (lycoris-lora 3, PEFT 0.21).
const std::vector<std::pair<std::string, std::regex>>& unsupported_kinds() {
  static const std::vector<std::pair<std::string, std::regex>> kinds = {
      {"DoRA", std::regex(R"((\.dora_scale|\.lora_magnitude_vector.*)$)")},
      {"LoHa", std::regex(R"(\.hada_[wt][12]\w*$)")},
      {"LoKr", std::regex(R"(\.lokr_[wt][12]\w*$)")},
      {"OFT", std::regex(R"(\.oft_(blocks|diag|r|R)\b.*$)")},
      {"GLoRA", std::regex(R"(\.[ab][12]\.weight$)")},
      {"IA3", std::regex(R"(\.on_input$)")},
      {"a full difference of weights", std::regex(R"(\.(diff|diff_b|w_norm|b_norm)$)")},
      {"a LoRA that changes biases", std::regex(R"(\.lora_B(\.[^.]+)?\.bias$)")}};
  return kinds;
}

bool take_prefix(std::string& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.erase(0, prefix.size());
  return true;
}

bool take_ending(std::string& text, std::string_view ending) {
  if (!text.ends_with(ending)) return false;
  text.erase(text.size() - ending.size());
  return true;
}

/// "X.processor.to_out", "X.self_attn.to_q" -> "X.to_out.0", "X.self_attn.q_proj": attention processors of
/// old named their four projections alike in all networks.
std::string processors_module(std::string module) {
  const size_t dot = module.rfind('.');
  if (dot == std::string::npos) return module;
  std::string last = module.substr(dot + 1), owner = module.substr(0, dot);
  take_ending(owner, ".processor");
  if (owner.ends_with("self_attn")) {
    if (take_prefix(last, "to_")) last += "_proj";
  } else if (last == "to_out") {
    last = "to_out.0";
  }
  return owner + "." + last;
}

/// How many layers of one kind a block has, from "down_blocks.1.resnets.0.conv1" and the like.
using Counts = std::map<std::pair<std::string, int>, int>;  // of ("down_blocks.resnets", 1)

const std::regex& block_pattern() {
  static const std::regex pattern(
      R"((down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+))");
  return pattern;
}

int number(const std::ssub_match& text) { return std::stoi(text.str()); }

Counts count_layers(const std::vector<std::string>& modules) {
  Counts counts;
  std::smatch match;
  for (const std::string& module : modules)
    if (std::regex_match(module, match, block_pattern())) {
      int& count = counts[{match[1].str() + "." + match[3].str(), number(match[2])}];
      count = std::max(count, number(match[4]) + 1);
    }
  return counts;
}

int count_of(const Counts& counts, const std::string& kind, int block) {
  const auto found = counts.find({kind, block});
  return found == counts.end() ? 0 : found->second;
}

/// The first part of `name` as the original calls it, where it is one of these.
std::string renamed(const std::string& name, const std::vector<std::pair<std::string, std::string>>& names) {
  for (const auto& [here, there] : names)
    if (name == here || name.starts_with(here + ".")) return there + name.substr(here.size());
  return name;
}

std::string original_layer(const std::string& kind, const std::string& inner) {
  if (kind != "resnets") return inner;
  return renamed(inner, {{"norm1", "in_layers.0"},
                         {"conv1", "in_layers.2"},
                         {"time_emb_proj", "emb_layers.1"},
                         {"norm2", "out_layers.0"},
                         {"conv2", "out_layers.3"},
                         {"conv_shortcut", "skip_connection"}});
}

/// One list of input blocks: conv_in, then each block's layers and its downsampler; one of output blocks,
/// whose upsampler stands in the last layer of its block.
std::string original_block(const std::smatch& match, const Counts& counts) {
  const bool down = match[1] == "down_blocks";
  const std::string kind = match[3], inner = match[5];
  const int block = number(match[2]), layer = number(match[4]);
  int index = down ? 1 : 0;
  for (int before = 0; before < block; ++before) {
    index += count_of(counts, match[1].str() + ".resnets", before);
    if (down) index += count_of(counts, "down_blocks.downsamplers", before);
  }
  const int layers = count_of(counts, match[1].str() + ".resnets", block);
  const auto place = [&](int at) {
    return (down ? "input_blocks." : "output_blocks.") + std::to_string(at) + ".";
  };
  if (kind == "downsamplers") return place(index + layers) + "0." + renamed(inner, {{"conv", "op"}});
  if (kind == "upsamplers")
    return place(index + layers - 1) + (count_of(counts, "up_blocks.attentions", block) > 0 ? "2." : "1.") +
           inner;
  return place(index + layer) + (kind == "resnets" ? "0." : "1.") + original_layer(kind, inner);
}

std::string original_name(const std::string& module, const Counts& counts) {
  std::smatch match;
  if (std::regex_match(module, match, block_pattern())) return original_block(match, counts);
  static const std::regex middle(R"(mid_block\.(resnets|attentions)\.(\d+)\.(.+))");
  if (std::regex_match(module, match, middle)) {
    const int place = match[1] == "attentions" ? 1 : 2 * number(match[2]);
    return "middle_block." + std::to_string(place) + "." + original_layer(match[1], match[3]);
  }
  return renamed(module, {{"conv_in", "input_blocks.0.0"},
                          {"time_embedding.linear_1", "time_embed.0"},
                          {"time_embedding.linear_2", "time_embed.2"},
                          {"add_embedding.linear_1", "label_emb.0.0"},
                          {"add_embedding.linear_2", "label_emb.0.2"},
                          {"conv_norm_out", "out.0"},
                          {"conv_out", "out.2"}});
}

std::vector<std::string> modules_of(const std::vector<std::string>& parameters) {
  std::vector<std::string> modules;
  for (std::string name : parameters)
    if (take_ending(name, ".weight")) modules.push_back(std::move(name));
  return modules;
}

}  // namespace

std::string flat_name(std::string name) {
  std::ranges::replace(name, '.', '_');
  take_prefix(name, "text_model_");
  return name;
}

std::optional<LoraKey> parse_lora_key(std::string_view key) {
  if (key.size() > kLongestKey) return std::nullopt;
  // PEFT may put an adapter's name before ".weight".
  static const std::regex adapter(R"((.*\.lora_[AB])\.[^.]+\.weight)");
  std::string name(key);
  if (std::smatch match; std::regex_match(name, match, adapter)) name = match[1].str() + ".weight";
  LoraKey result;
  const auto ending =
      std::ranges::find_if(kEndings, [&](const Ending& e) { return take_ending(name, e.text); });
  if (ending == kEndings.end()) return std::nullopt;
  result.part = ending->part;
  if (ending->text.starts_with("_lora") || name.find(".processor.") != std::string::npos)
    name = processors_module(name);
  const auto prefix =
      std::ranges::find_if(kPrefixes, [&](const Prefix& p) { return name.starts_with(p.text); });
  if (prefix == kPrefixes.end()) return std::nullopt;
  result.component = prefix->component;
  const bool names_a_block = prefix->text.find("block") != std::string_view::npos;
  result.module = flat_name(names_a_block ? name : name.substr(prefix->text.size()));
  return result;
}

std::string unsupported_kind(const std::string& key) {
  if (key.size() > kLongestKey) return "";
  for (const auto& [name, pattern] : unsupported_kinds())
    if (std::regex_search(key, pattern)) return name;
  return "";
}

std::map<std::string, std::string> modules_by_flat_name(const std::vector<std::string>& parameters) {
  std::map<std::string, std::string> modules;
  for (const std::string& module : modules_of(parameters)) modules[flat_name(module)] = module + ".weight";
  return modules;
}

std::map<std::string, std::string> modules_by_original_name(const std::vector<std::string>& parameters) {
  const std::vector<std::string> modules = modules_of(parameters);
  const Counts counts = count_layers(modules);
  std::map<std::string, std::string> names;
  for (const std::string& module : modules) {
    const std::string name = original_name(module, counts);
    if (name != module) names[flat_name(name)] = module + ".weight";
  }
  return names;
}

}  // namespace darkroom
