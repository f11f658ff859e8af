#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "darkroom/base/diagnostics.h"
#include "darkroom/model/embedding.h"
#include "darkroom/model/lora.h"
#include "darkroom/model/manifest.h"
#include "darkroom/nn/network.h"
#include "model/inversions.h"
#include "model/lora_file.h"

namespace darkroom {

/// What files of LoRAs and embeddings change in a model's denoiser and text encoders.
class Adaptation {
 public:
  /// Finds the parameter of each module, from the networks' files: none need be loaded, but hashes must have
  /// been checked. "unet" in a file is the denoiser, "text_encoder" and "text_encoder_2" the text encoders in
  /// the order in which model.json's conditioning names them. Throws ModelError for a file that is no LoRA of
  /// a kind that can be applied, that fits nothing in the model, or whose shapes contradict it; and as
  /// Inversions.
  Adaptation(const Manifest& manifest, const std::vector<Lora>& loras,
             const std::vector<Embedding>& embeddings = {});

  /// Makes the network's parameters those of its file, plus weight * alpha / rank * up down of each LoRA,
  /// computed and summed in float32; and the embeddings' rows.
  void apply(Network& network) const;

  /// That the embeddings add to this tokenizer.
  std::vector<AddedWord> words(const std::string& tokenizer) const { return inversions_.words(tokenizer); }

  /// Of files with keys that name nothing in the model.
  const std::vector<Warning>& warnings() const { return warnings_; }

 private:
  struct Term {
    const LoraModule* module;
    double weight;
  };

  std::vector<std::unique_ptr<const LoraFile>> files_;
  std::map<std::string, std::map<std::string, std::vector<Term>>> terms_;  ///< by network, then parameter
  std::vector<Warning> warnings_;
  Inversions inversions_;
};

}  // namespace darkroom
