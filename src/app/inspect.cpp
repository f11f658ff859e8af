#include "app/inspect.h"

#include <nlohmann/json.hpp>

#include "app/model_path.h"
#include "app/naming.h"
#include "app/numbers.h"
#include "darkroom/base/error.h"
#include "darkroom/data/safetensors.h"
#include "darkroom/image/png.h"
#include "darkroom/model/pipeline.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

std::string row(const std::string& name, const std::string& value, size_t column = 14) {
  return name + std::string(name.size() < column ? column - name.size() : 1, ' ') + value + "\n";
}

template <typename List>
std::string joined(const List& parts) {
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : ", ") + std::string(part);
  return text;
}

std::string inspect_png(const fs::path& file) {
  std::string text;
  for (const auto& [keyword, value] : read_png_texts(file)) {
    const nlohmann::json record = nlohmann::json::parse(value, nullptr, false);
    text += keyword + ":\n" + (record.is_object() ? record.dump(2) : value) + "\n\n";
  }
  return text.empty() ? file.string() + ": no text chunks\n" : text;
}

std::string inspect_safetensors(const fs::path& file) {
  const Safetensors tensors(file);
  std::string text;
  for (const auto& [key, value] : tensors.metadata()) text += key + ": " + value + "\n";
  for (const auto& [name, tensor] : tensors.tensors()) {
    std::string shape;
    for (const int64_t size : tensor.shape) shape += (shape.empty() ? "" : " x ") + std::to_string(size);
    text += row(name, tensor.dtype + "  " + (shape.empty() ? "scalar" : shape), 48);
  }
  return text;
}

std::string inspect_model(const fs::path& folder, bool verify) {
  const Manifest manifest = read_manifest(folder);
  if (verify) check_hashes(manifest);
  const Manifest::Defaults& defaults = manifest.defaults;
  std::string text = row("name", manifest.name) + row("summary", manifest.summary) +
                     row("license", manifest.license) + row("folder", folder.string());
  for (const Manifest::MergedLora& lora : manifest.merged)
    text += row("merged LoRA", lora.file + ":" + number_text(lora.weight) + ", SHA-256 " + lora.sha256);
  for (const auto& [name, network] : manifest.networks)
    text += row("network", name + ": " + network.file + ", " + std::to_string(network.parameters) +
                               " parameters, " + network.stored_precision + ", " +
                               bytes_text(static_cast<int64_t>(fs::file_size(folder / network.file))) + "; " +
                               joined(network.inputs) + " -> " + joined(network.outputs) + "; runs at " +
                               (network.precisions.empty() ? "any precision" : joined(network.precisions)));
  for (const auto& [name, tokenizer] : manifest.tokenizers)
    text += row("tokenizer", name + ": " + tokenizer.kind + ", " + tokenizer.file + ", at most " +
                                 std::to_string(tokenizer.length) + " tokens");
  for (const Manifest::Stage& stage : manifest.stages)
    text += row("stage", stage.kind + ": " + stage.denoiser + ", predicts " + stage.prediction + ", " +
                             stage.schedule.kind + " schedule of " + std::to_string(stage.schedule.steps) +
                             " steps");
  text += row("defaults", std::to_string(defaults.width) + "x" + std::to_string(defaults.height) + ", " +
                              std::to_string(defaults.steps) + " steps, " + defaults.sampler + ", " +
                              defaults.schedule + ", cfg scale " + number_text(defaults.cfg_scale));
  text += row("sizes", "multiples of " + std::to_string(manifest.output.factor));
  const int64_t bytes = estimate_memory(manifest, default_settings(manifest), 1, {}).total();
  if (verify) text += row("verified", "every file has the SHA-256 that model.json names");
  return text + row("memory", bytes_text(bytes) + " for one picture of that size at fp32");
}

}  // namespace

std::string inspect(const std::string& target, bool verify) {
  if (verify && (is_png_name(target) || target.ends_with(".safetensors")))
    throw UsageError("--verify compares a model's files with its model.json; '" + target +
                     "' is a single file");
  if (is_png_name(target)) return inspect_png(target);
  if (target.ends_with(".safetensors")) return inspect_safetensors(target);
  return inspect_model(find_model(target, model_search_path()), verify);
}

}  // namespace darkroom
