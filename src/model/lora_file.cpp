#include "model/lora_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/shape_text.h"
#include "darkroom/base/error.h"
#include "darkroom/model/lora.h"
#include "model/lora_keys.h"
#include "nn/tensor_view.h"

namespace darkroom {
namespace {

using nlohmann::json;

void check_kind(const Safetensors& file) {
  for (const auto& [key, view] : file.tensors()) {
    const std::string kind = unsupported_kind(key);
    if (!kind.empty())
      throw ModelError("is " + kind + " ('" + key + "'), which cannot be applied; LoRA and LoCon can");
  }
}

const LoraModule::Tensor*& part_of(LoraModule& module, LoraPart part) {
  switch (part) {
    case LoraPart::down:
      return module.down;
    case LoraPart::up:
      return module.up;
    case LoraPart::mid:
      return module.mid;
    case LoraPart::alpha:
      break;
  }
  return module.alpha;
}

LoraFile::Modules modules_in(const Safetensors& file, std::vector<std::string>& unknown_keys) {
  LoraFile::Modules modules;
  for (const LoraModule::Tensor& tensor : file.tensors()) {
    const std::optional<LoraKey> key = parse_lora_key(tensor.first);
    if (!key) {
      unknown_keys.push_back(tensor.first);
      continue;
    }
    const LoraModule::Tensor*& part = part_of(modules[{key->component, key->module}], key->part);
    if (part)
      throw ModelError("names the same module twice, as '" + part->first + "' and as '" + tensor.first + "'");
    part = &tensor;
  }
  return modules;
}

/// A matrix, or a convolution's weight.
void check_factor(const LoraModule::Tensor& tensor) {
  const auto& [key, view] = tensor;
  constexpr std::array kFloats = {"F32", "F16", "BF16", "F64"};
  if (std::ranges::find(kFloats, view.dtype) == kFloats.end())
    throw ModelError("holds '" + key + "' as " + view.dtype + ", not as F32, F16 or BF16");
  if (view.shape.size() < 2 || std::ranges::count(view.shape, 0) > 0)
    throw ModelError("holds '" + key + "' of the shape " + shape_text(view.shape));
}

double number_in(const LoraModule::Tensor& tensor) {
  const at::Tensor value = tensor_of(tensor.second);
  const double number = value.numel() == 1 ? value.to(at::kDouble).item<double>() : NAN;
  if (!std::isfinite(number)) throw ModelError("holds '" + tensor.first + "', which is not one number");
  return number;
}

/// The configuration that diffusers writes beside the tensors: PEFT's LoraConfig, with keys such as
/// "unet.lora_alpha", or "lora_alpha" where the file is of one network alone.
json configuration_in(const Safetensors& file) {
  const auto found = file.metadata().find("lora_adapter_metadata");
  if (found == file.metadata().end()) return json::object();
  json configuration = json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  if (!configuration.is_object()) throw ModelError("has a lora_adapter_metadata that is no JSON object");
  return configuration;
}

/// Whether PEFT's pattern, which is the end of a module's name, or with '^' the whole, is this module's.
bool matches(const std::string& module, const std::string& pattern) {
  if (pattern.starts_with('^')) return module == flat_name(pattern.substr(1));
  const std::string end = flat_name(pattern);
  return module.ends_with(end) &&
         (module.size() == end.size() || module[module.size() - end.size() - 1] == '_');
}

/// 1 where the configuration says nothing.
double configured_scale(const json& configuration, const std::string& component, const std::string& module,
                        double rank) {
  const auto value = [&](const std::string& key) {
    return configuration.value(component + "." + key, configuration.value(key, json()));
  };
  json alpha = value("lora_alpha");
  const json patterns = value("alpha_pattern");
  if (patterns.is_object())
    for (const auto& [pattern, own] : patterns.items())
      if (matches(module, pattern)) alpha = own;
  if (!alpha.is_number()) return 1;
  return alpha.get<double>() / (value("use_rslora") == true ? std::sqrt(rank) : rank);
}

void check_pair(const LoraModule& module) {
  if (!module.down) throw ModelError("holds '" + module.up->first + "' without the other half, down");
  if (!module.up) throw ModelError("holds '" + module.down->first + "' without the other half, up");
  for (const LoraModule::Tensor* tensor : {module.down, module.up, module.mid})
    if (tensor) check_factor(*tensor);
}

}  // namespace

std::vector<std::string> LoraModule::keys() const {
  std::vector<std::string> keys;
  for (const Tensor* tensor : {down, up, mid, alpha})
    if (tensor) keys.push_back(tensor->first);
  return keys;
}

LoraFile::LoraFile(const std::filesystem::path& file) : tensors_(file) {
  try {
    check_kind(tensors_);
    const json configuration = configuration_in(tensors_);
    for (auto& [place, module] : modules_in(tensors_, unknown_keys_)) {
      if (!module.down && !module.up) {
        std::ranges::copy(module.keys(), std::back_inserter(unknown_keys_));
        continue;
      }
      check_pair(module);
      const auto rank = static_cast<double>(module.down->second.shape[0]);
      module.scale = module.alpha ? number_in(*module.alpha) / rank
                                  : configured_scale(configuration, place.first, place.second, rank);
      modules_.emplace(place, module);
    }
    if (modules_.empty())
      throw ModelError("holds no LoRA" +
                       (unknown_keys_.empty() ? "" : " but tensors such as '" + unknown_keys_.front() + "'"));
  } catch (const ModelError& error) {
    throw ModelError("'" + file.string() + "' " + error.what());
  }
}

void check_lora(const std::filesystem::path& file) { const LoraFile checked(file); }

}  // namespace darkroom
