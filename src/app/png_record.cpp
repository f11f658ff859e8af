#include "app/png_record.h"

#include "app/numbers.h"
#include "darkroom/base/error.h"
#include "darkroom/image/metadata.h"

namespace darkroom {
namespace {

using nlohmann::json;
using namespace nlohmann::literals;

const char* const kKeyword = "darkroom";

/// JSON text of one line; bytes that are no UTF-8 become U+FFFD.
std::string line_of(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string shortened(const json& value) {
  const std::string text = value.is_null() ? "none" : line_of(value);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

/// Of a LoRA or an embedding, without what separates names in stable-diffusion-webui.
std::string name_of(const json& file) {
  std::string name = file["name"];
  std::erase_if(name, [](char c) { return c == ':' || c == ',' || c == '<' || c == '>'; });
  return name;
}

/// " <lora:style:0.5>": how a prompt there names its LoRAs.
std::string lora_words(const json& loras) {
  std::string words;
  for (const json& lora : loras) words += " <lora:" + name_of(lora) + ":" + number_text(lora["weight"]) + ">";
  return words;
}

std::string hashes_of(const json& files) {
  std::string hashes;
  for (const json& file : files)
    hashes += (hashes.empty() ? "" : ", ") + name_of(file) + ": " + file["hash"].get<std::string>();
  return hashes;
}

std::string whole(const json& record, const char* key) { return std::to_string(record[key].get<int64_t>()); }

void add_files(json& files, const std::string& folder, const Manifest& manifest) {
  for (const auto& [name, network] : manifest.networks) files[folder + network.file] = network.sha256;
  for (const auto& [name, tokenizer] : manifest.tokenizers) files[folder + tokenizer.file] = tokenizer.sha256;
}

}  // namespace

json picture_options(const Options& options) {
  json object;
  for (const Option& option : option_table())
    if (option.scope == Scope::picture) object[option.key()] = option_value(options, option);
  return object;
}

json picture_record(const Options& options, const Origin& origin, const json& extras) {
  json files = {{"model.json", origin.manifest_sha256}};
  add_files(files, "", origin.manifest);
  if (origin.refiner) {
    files["refiner/model.json"] = origin.refiner_manifest_sha256;
    add_files(files, "refiner/", *origin.refiner);
  }
  if (origin.weaker) {
    const Manifest::Network& network = origin.weaker->networks.at(origin.weaker->stages.front().denoiser);
    files["autoguidance/" + network.file] = network.sha256;
  }
  json loras = json::array();
  for (const Lora& lora : options.loras) {
    const LoraHashes& hashes = origin.loras.at(lora.file);
    files["lora/" + lora.file.string()] = hashes.file;
    loras.push_back({{"name", lora.file.stem().string()},
                     {"weight", lora.weight},
                     {"hash", hashes.tensors.substr(0, 12)}});
  }
  json embeddings = json::array();
  for (const Embedding& embedding : options.embeddings) {
    const std::string& hash = origin.embeddings.at(embedding.file);
    files["embedding/" + embedding.file.string()] = hash;
    embeddings.push_back({{"name", name_of(embedding)}, {"hash", hash.substr(0, 12)}});
  }
  const std::string& denoiser = origin.manifest.stages.front().denoiser;
  json record = {{"version", kVersion},
                 {"model",
                  {{"name", origin.manifest.name},
                   {"denoiser", origin.manifest.networks.at(denoiser).file},
                   {"sha256", files}}},
                 {"precision", origin.precision},
                 {"device", origin.device}};
  if (origin.weaker) record["model"]["autoguidance"] = origin.weaker->name;
  if (origin.refiner) record["model"]["refiner"] = origin.refiner->name;
  if (!loras.empty()) record["model"]["lora"] = loras;
  if (!embeddings.empty()) record["model"]["embedding"] = embeddings;
  record.update(picture_options(options));
  if (!extras.empty()) record["extras"] = extras;
  // Through text and back, so that it compares equal to what a file says.
  return json::parse(line_of(record));
}

std::string difference(const json& recorded, const json& wanted, bool any_precision) {
  if (!recorded.is_object()) return "it has no record of how it was made";
  const auto differ = [](const std::string& key, const json& there, const json& here) {
    return key + ": " + shortened(there) + " there, " + shortened(here) + " asked for";
  };
  for (const Option& option : option_table()) {
    if (option.scope != Scope::picture) continue;
    const json there = recorded.value(option.key(), json()), here = wanted.value(option.key(), json());
    if (there != here) return differ(option.name, there, here);
  }
  const json::json_pointer hashes("/model/sha256");
  if (recorded.value(hashes, json()) != wanted.value(hashes, json()))
    return wanted.contains("/model/lora"_json_pointer) || wanted.contains("/model/embedding"_json_pointer)
               ? "another model, LoRA or embedding, or another version of one"
               : "another model, or another version of it";
  const json there = recorded.value("precision", json()), here = wanted.value("precision", json());
  return any_precision || there == here ? "" : differ("precision", there, here);
}

std::vector<PngText> picture_texts(const json& record) {
  const json& model = record["model"];
  const json loras = model.value("lora", json::array());
  const json embeddings = model.value("embedding", json::array());
  const std::string hash = model["sha256"][model["denoiser"].get<std::string>()];
  const json& negative = record["negative_prompt"];
  std::vector<std::pair<std::string, std::string>> pairs = {
      {"Steps", whole(record, "steps")},     {"Sampler", record["sampler"]},
      {"Schedule type", record["schedule"]}, {"CFG scale", number_text(record["cfg_scale"])},
      {"Seed", whole(record, "seed")},       {"Size", whole(record, "width") + "x" + whole(record, "height")},
      {"Model hash", hash.substr(0, 10)},    {"Model", model["name"]}};
  if (model.contains("refiner"))
    pairs.insert(pairs.end(), {{"Refiner", model["refiner"]},
                               {"Refiner switch at", number_text(record["refiner_start"])}});
  // A1111 counts from 1, and says nothing of 1.
  if (const int64_t skipped = record["clip_skip"]; skipped > 0)
    pairs.emplace_back("Clip skip", std::to_string(skipped + 1));
  if (!loras.empty()) pairs.emplace_back("Lora hashes", hashes_of(loras));
  if (!embeddings.empty()) pairs.emplace_back("TI hashes", hashes_of(embeddings));
  pairs.insert(pairs.end(), {{"RNG", "CPU"}, {"Version", "darkroom " + std::string(kVersion)}});
  const std::string parameters =
      a1111_parameters(record["prompt"].get<std::string>() + lora_words(loras),
                       negative.is_null() ? "" : negative.get<std::string>(), pairs);
  return {
      {"parameters", parameters}, {kKeyword, line_of(record)}, {"XML:com.adobe.xmp", xmp_packet(kVersion)}};
}

json recorded_in(const std::filesystem::path& file) {
  try {
    for (const auto& [keyword, text] : read_png_texts(file))
      if (keyword == kKeyword) return json::parse(text, nullptr, false);
  } catch (const UsageError&) {
    // Not a picture of ours, whatever it is.
  }
  return {};
}

}  // namespace darkroom
