#include "model/adaptation.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/shape_text.h"
#include "darkroom/base/error.h"
#include "model/lora_keys.h"
#include "nn/stored_tensors.h"
#include "nn/tensor_view.h"

namespace darkroom {
namespace {

/// A network's parameters by the names that LoRA files have for their modules.
struct Names {
  std::string network;
  std::map<std::string, std::vector<int64_t>> shapes;
  std::map<std::string, std::string> flat, original;
};

Names names_of(const Manifest& manifest, const std::string& network) {
  Names names{network, StoredTensors(manifest.folder / manifest.networks.at(network).file).shapes(), {}, {}};
  std::vector<std::string> parameters;
  for (const auto& [name, shape] : names.shapes)
    if (shape.size() >= 2) parameters.push_back(name);
  names.flat = modules_by_flat_name(parameters);
  names.original = modules_by_original_name(parameters);
  return names;
}

std::map<std::string, Names> names_by_component(const Manifest& manifest) {
  const std::vector<std::string> encoders = manifest.text_encoders();
  std::map<std::string, Names> names = {{"unet", names_of(manifest, manifest.stages.front().denoiser)}};
  std::string component = "text_encoder";
  for (size_t i = 0; i < encoders.size(); ++i) {
    names[component] = names_of(manifest, encoders[i]);
    component = "text_encoder_";
    component += std::to_string(i + 2);
  }
  return names;
}

struct Match {
  const Names* names;
  std::string parameter;
  const LoraModule* module;
};

/// The modules that name a parameter. Where a file names one both ways, what has diffusers' name counts, as
/// there.
std::vector<Match> matches_in(const LoraFile& file, const std::map<std::string, Names>& components,
                              std::vector<std::string>& unmatched) {
  std::vector<Match> matches;
  std::set<std::pair<std::string, std::string>> taken;  // (network, parameter)
  std::set<const LoraModule*> matched;
  for (const auto index : {&Names::flat, &Names::original})
    for (const auto& [place, module] : file.modules()) {
      const auto names = components.find(place.first);
      if (names == components.end() || matched.contains(&module)) continue;
      const auto found = (names->second.*index).find(place.second);
      if (found == (names->second.*index).end() || !taken.insert({names->first, found->second}).second)
        continue;
      matches.push_back({&names->second, found->second, &module});
      matched.insert(&module);
    }
  for (const auto& [place, module] : file.modules())
    if (!matched.contains(&module)) std::ranges::copy(module.keys(), std::back_inserter(unmatched));
  return matches;
}

int64_t elements(const std::vector<int64_t>& shape, size_t from) {
  int64_t count = 1;
  for (size_t i = from; i < shape.size(); ++i) count *= shape[i];
  return count;
}

/// Throws ModelError naming the tensor that cannot be a factor of a change of this parameter.
void check_shapes(const Match& match) {
  const std::vector<int64_t>& weight = match.names->shapes.at(match.parameter);
  const LoraModule& module = *match.module;
  const std::vector<int64_t>&down = module.down->second.shape, &up = module.up->second.shape;
  const LoraModule::Tensor* wrong = nullptr;
  if (module.mid) {
    const std::vector<int64_t>& mid = module.mid->second.shape;
    if (mid.size() != 4 || weight.size() != 4 || !std::equal(mid.begin() + 2, mid.end(), weight.begin() + 2))
      wrong = module.mid;
    else if (down[0] != mid[1] || elements(down, 1) != weight[1])
      wrong = module.down;
    else if (up[0] != weight[0] || elements(up, 1) != mid[0])
      wrong = module.up;
  } else if (elements(down, 1) != elements(weight, 1)) {
    wrong = module.down;
  } else if (up[0] != weight[0] || elements(up, 1) != down[0]) {
    wrong = module.up;
  }
  if (wrong)
    throw ModelError(
        "does not fit the model: '" + wrong->first + "' has the shape " + shape_text(wrong->second.shape) +
        (wrong == module.up ? ", its down half " + shape_text(down) : "") + ", and '" + match.parameter +
        "' of network '" + match.names->network + "' is " + shape_text(weight));
}

/// A factor in float32, as a matrix.
at::Tensor matrix(const LoraModule::Tensor& tensor) {
  return tensor_of(tensor.second).to(at::kFloat).flatten(1);
}

at::Tensor product(const LoraModule& module, at::IntArrayRef shape) {
  const at::Tensor up = matrix(*module.up), down = matrix(*module.down);
  if (!module.mid) return up.mm(down).view(shape);
  return at::einsum("abyx,oa,bi->oiyx", {tensor_of(module.mid->second).to(at::kFloat), up, down});
}

Warning unused_keys(const std::filesystem::path& file, const std::vector<std::string>& keys) {
  constexpr size_t kNamed = 10;
  std::string text = std::to_string(keys.size()) + " of its tensors change nothing in this model: ";
  for (size_t i = 0; i < std::min(kNamed, keys.size()); ++i) text += (i > 0 ? ", " : "") + keys[i];
  return {"lora_keys_unused", text + (keys.size() > kNamed ? ", ..." : ""), file.string()};
}

}  // namespace

Adaptation::Adaptation(const Manifest& manifest, const std::vector<Lora>& loras,
                       const std::vector<Embedding>& embeddings)
    : inversions_(manifest, embeddings) {
  std::optional<std::map<std::string, Names>> components;
  for (const Lora& lora : loras) {
    if (!components) components = names_by_component(manifest);
    const LoraFile& file = *files_.emplace_back(std::make_unique<const LoraFile>(lora.file));
    std::vector<std::string> unmatched = file.unknown_keys();
    try {
      const std::vector<Match> matches = matches_in(file, *components, unmatched);
      if (matches.empty())
        throw ModelError("changes nothing in model '" + manifest.name + "': '" + unmatched.front() +
                         "' and its other tensors name none of its layers");
      for (const Match& match : matches) {
        check_shapes(match);
        if (lora.weight != 0)
          terms_[match.names->network][match.parameter].push_back({match.module, lora.weight});
      }
    } catch (const ModelError& error) {
      throw ModelError("'" + lora.file.string() + "' " + error.what());
    }
    if (!unmatched.empty()) warnings_.push_back(unused_keys(lora.file, unmatched));
  }
}

void Adaptation::apply(Network& network) const {
  std::set<std::string> names;
  const auto found = terms_.find(network.spec().name);
  if (found != terms_.end())
    for (const auto& [parameter, terms] : found->second) names.insert(parameter);
  network.change_parameters(names, [&](const std::string& name, const at::Tensor& stored) {
    at::Tensor sum = stored;
    for (const Term& term : found->second.at(name))
      sum = sum.add(product(*term.module, stored.sizes()), term.weight * term.module->scale);
    return sum;
  });
  inversions_.apply(network);
}

}  // namespace darkroom
