#include "darkroom/model/manifest.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <regex>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "darkroom/base/nearest.h"
#include "darkroom/diffusion/prediction.h"
#include "darkroom/diffusion/sampler.h"
#include "model/json_reader.h"
#include "model/picture_values.h"
#include "model/schedule_reader.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr int64_t kMaxPixels = 16384;

// A name in a folder, never a path out of it: a model cannot make us read elsewhere.
std::string file_name(JsonReader& reader, const fs::path& folder) {
  const std::string name = reader.text("file");
  if (name.empty() || fs::path(name).filename() != name || name == "." || name == "..")
    reader.fail("file", "is '" + name + "'; a file name without folders is needed");
  std::error_code error;
  if (!fs::is_regular_file(folder / name, error))
    reader.fail("file", "names '" + name + "', which is no file in the model's folder");
  return name;
}

std::string hash(JsonReader& reader) {
  const std::string text = reader.text("sha256");
  if (text.size() != 64 || text.find_first_not_of("0123456789abcdef") != std::string::npos)
    reader.fail("sha256", "is no SHA-256: 64 lower-case hexadecimal digits are needed");
  return text;
}

Manifest::MergedLora read_merged_lora(JsonReader& reader) {
  Manifest::MergedLora lora{reader.text("file"), hash(reader), reader.number("weight")};
  reader.finish();
  return lora;
}

Manifest::Network read_network(JsonReader& reader, const fs::path& folder) {
  const std::vector<std::string> precisions = {"fp32", "bf16", "fp16"};
  Manifest::Network network;
  network.file = file_name(reader, folder);
  network.sha256 = hash(reader);
  network.inputs = reader.texts("inputs");
  if (network.inputs.empty()) reader.fail("inputs", "is empty");
  network.outputs = reader.texts("outputs");
  if (network.outputs.empty()) reader.fail("outputs", "is empty");
  network.stored_precision = reader.one_of("stored_precision", precisions);
  if (reader.has("precisions")) network.precisions = reader.texts("precisions");
  for (const std::string& precision : network.precisions)
    if (std::ranges::find(precisions, precision) == precisions.end())
      reader.fail("precisions", "holds an " + unknown_name("word", precision, precisions));
  network.parameters = reader.integer("parameters", 0, INT64_MAX);
  network.activation_bytes_per_pixel = reader.number("activation_bytes_per_pixel");
  if (network.activation_bytes_per_pixel < 0) reader.fail("activation_bytes_per_pixel", "is negative");
  reader.finish();
  return network;
}

Manifest::Tokenizer read_tokenizer(JsonReader& reader, const fs::path& folder) {
  Manifest::Tokenizer tokenizer;
  tokenizer.kind = reader.one_of("kind", {"clip-bpe", "sentencepiece"});
  tokenizer.file = file_name(reader, folder);
  tokenizer.sha256 = hash(reader);
  if (reader.has("pad")) tokenizer.pad = reader.one_of("pad", {"end", "zero"});
  tokenizer.length = reader.integer("length", 2, 4096);
  reader.finish();
  return tokenizer;
}

Manifest::Conditioning read_conditioning(JsonReader& reader, const Manifest& manifest) {
  Manifest::Conditioning conditioning;
  conditioning.role = reader.text("role");
  if (reader.has("values")) {
    conditioning.values = reader.texts("values");
    const std::vector<std::string> known = picture_value_names();
    for (const std::string& value : conditioning.values)
      if (std::ranges::find(known, value) == known.end())
        reader.fail("values", "holds an " + unknown_name("word", value, known));
    if (conditioning.values.empty()) reader.fail("values", "is empty");
    reader.finish();
    return conditioning;
  }
  for (const std::string& source : reader.texts("from")) {
    const size_t dot = source.find('.');
    const auto network = manifest.networks.find(source.substr(0, dot));
    if (dot == std::string::npos || network == manifest.networks.end() ||
        std::ranges::find(network->second.outputs, source.substr(dot + 1)) == network->second.outputs.end())
      reader.fail("from", "names '" + source + "', which is no output of a network ('network.output')");
    conditioning.from.push_back({network->first, source.substr(dot + 1), ""});
  }
  if (conditioning.from.empty()) reader.fail("from", "is empty; 'network.output' is needed");
  if (reader.has("join")) reader.one_of("join", {"channels"});
  std::vector<std::string> tokenizers = reader.text_or_texts("tokenizer");
  if (tokenizers.size() == 1) tokenizers.resize(conditioning.from.size(), tokenizers[0]);
  if (tokenizers.size() != conditioning.from.size())
    reader.fail("tokenizer", "must name one, or one for each of 'from'");
  for (size_t i = 0; i < tokenizers.size(); ++i) {
    if (!manifest.tokenizers.contains(tokenizers[i]))
      reader.fail("tokenizer", "names '" + tokenizers[i] + "', which is none of the tokenizers");
    conditioning.from[i].tokenizer = tokenizers[i];
  }
  if (reader.has("empty")) conditioning.empty = reader.one_of("empty", {"encode", "zeros"});
  reader.finish();
  return conditioning;
}

template <class Find>
std::string known(JsonReader& reader, const char* key, Find find) {
  const std::string text = reader.text(key);
  try {
    find(text);
  } catch (const Error& error) {
    reader.fail(key, std::string(": ") + error.what());
  }
  return text;
}

const Manifest::Network& network_named(JsonReader& reader, const char* key, const Manifest& manifest) {
  const std::string name = reader.text(key);
  const auto network = manifest.networks.find(name);
  if (network == manifest.networks.end())
    reader.fail(key, "names '" + name + "', which is none of the networks");
  return network->second;
}

// Channels, rows, columns: a count, "h/COUNT" and "w/COUNT".
void check_state(const JsonReader& reader, const std::vector<std::string>& state) {
  static const std::array patterns = {std::regex("[1-9][0-9]{0,3}"), std::regex("h/[1-9][0-9]{0,3}"),
                                      std::regex("w/[1-9][0-9]{0,3}")};
  if (state.size() != patterns.size() ||
      !std::ranges::equal(state, patterns, [](const auto& size, const auto& pattern) {
        return std::regex_match(size, pattern);
      }))
    reader.fail("state", "must be like [\"4\", \"h/8\", \"w/8\"]: channels, height and width over a count");
}

Manifest::Stage read_stage(JsonReader& reader, const Manifest& manifest) {
  Manifest::Stage stage;
  stage.kind = reader.one_of("kind", {"diffusion"});
  stage.denoiser = reader.text("denoiser");
  const Manifest::Network& denoiser = network_named(reader, "denoiser", manifest);
  for (const std::string& role : denoiser.inputs) {
    const bool conditioned =
        std::ranges::any_of(manifest.conditioning, [&](const auto& c) { return c.role == role; });
    if (role != "sample" && role != "timestep" && !is_residual(role) && !conditioned)
      reader.fail("denoiser", "needs the input '" + role + "', which no conditioning feeds");
  }
  if (denoiser.outputs.size() != 1) reader.fail("denoiser", "has several outputs; one is needed");
  stage.state = reader.texts("state");
  check_state(reader, stage.state);
  stage.prediction = known(reader, "prediction", find_prediction_type);
  if (reader.has("variance")) stage.variance = known(reader, "variance", find_variance);
  read_schedule(reader.object("schedule"), stage);
  if (reader.has("steps_offset"))
    stage.steps_offset = reader.integer("steps_offset", 0, stage.schedule.steps - 1);
  if (reader.has("set_alpha_to_one")) stage.set_alpha_to_one = reader.boolean("set_alpha_to_one");
  if (reader.has("align_your_steps") && !stage.flow)
    read_align_your_steps(reader.object("align_your_steps"), stage);
  if (reader.has("clip_sample")) stage.clip_sample = reader.positive("clip_sample");
  if (reader.has("thresholding")) {
    JsonReader threshold = reader.object("thresholding");
    stage.threshold_ratio = threshold.positive("ratio");
    if (*stage.threshold_ratio > 1) threshold.fail("ratio", "is over 1");
    stage.threshold_max = threshold.positive("max");
    threshold.finish();
  }
  reader.finish();
  return stage;
}

Manifest::Output read_output(JsonReader reader, const Manifest& manifest) {
  Manifest::Output output;
  output.decoder = reader.text("decoder");
  const Manifest::Network& decoder = network_named(reader, "decoder", manifest);
  if (decoder.inputs.size() != 1 || decoder.outputs.size() != 1)
    reader.fail("decoder", "must have one input and one output");
  output.scale = reader.number("scale");
  if (output.scale == 0) reader.fail("scale", "is 0");
  if (reader.has("shift")) output.shift = reader.number("shift");
  output.factor = reader.integer("factor", 1, 1024);
  reader.finish();
  return output;
}

Manifest::Defaults read_defaults(JsonReader reader) {
  Manifest::Defaults defaults;
  defaults.width = reader.integer("width", 1, kMaxPixels);
  defaults.height = reader.integer("height", 1, kMaxPixels);
  defaults.steps = reader.integer("steps", 1, 1'000'000);
  defaults.cfg_scale = reader.number("cfg_scale");
  if (reader.has("aesthetic_score")) defaults.aesthetic_score = reader.number("aesthetic_score");
  if (reader.has("negative_aesthetic_score"))
    defaults.negative_aesthetic_score = reader.number("negative_aesthetic_score");
  defaults.sampler = known(reader, "sampler", find_sampler);
  defaults.schedule = known(reader, "schedule", find_spacing);
  reader.finish();
  return defaults;
}

json parse(const fs::path& file) {
  std::string text;
  try {
    text = read_file(file);
  } catch (const UsageError& error) {
    throw ModelError(error.what());
  }
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(std::min(error.byte, text.size())),
                       '\n');
    throw ModelError(file.string() + ": line " + std::to_string(line) + " is no valid JSON");
  }
}

}  // namespace

bool is_residual(std::string_view role) { return role.starts_with("residual_"); }

std::vector<std::string> Manifest::text_encoders() const {
  std::vector<std::string> names;
  for (const Conditioning& part : conditioning)
    for (const Source& source : part.from)
      if (!std::ranges::count(names, source.network)) names.push_back(source.network);
  return names;
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path file = folder / "model.json";
  const json document = parse(file);
  JsonReader reader(document, file.string());
  Manifest manifest;
  manifest.folder = folder;
  manifest.format = reader.integer("format", 1, INT64_MAX);
  if (manifest.format != kFormat)
    reader.fail("format", "is " + std::to_string(manifest.format) +
                              "; this version of darkroom reads format " + std::to_string(kFormat));
  manifest.name = reader.text("name");
  manifest.license = reader.text("license");
  manifest.summary = reader.text("summary");
  if (reader.has("merged"))
    for (JsonReader& member : reader.objects("merged")) manifest.merged.push_back(read_merged_lora(member));
  for (auto& [name, member] : reader.named_objects("networks"))
    manifest.networks[name] = read_network(member, folder);
  for (auto& [name, member] : reader.named_objects("tokenizers"))
    manifest.tokenizers[name] = read_tokenizer(member, folder);
  for (JsonReader& member : reader.objects("conditioning"))
    manifest.conditioning.push_back(read_conditioning(member, manifest));
  for (JsonReader& member : reader.objects("stages")) manifest.stages.push_back(read_stage(member, manifest));
  if (manifest.stages.size() != 1) reader.fail("stages", "must hold one stage in this version of darkroom");
  manifest.output = read_output(reader.object("output"), manifest);
  manifest.defaults = read_defaults(reader.object("defaults"));
  if (const auto spacing = find_spacing(manifest.defaults.schedule).timesteps)
    manifest.stages.front().base_spacing = *spacing;
  reader.finish();
  return manifest;
}

}  // namespace darkroom
