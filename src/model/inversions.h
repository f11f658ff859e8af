#pragma once

#include <map>
#include <string>
#include <vector>

#include "darkroom/model/embedding.h"
#include "darkroom/model/manifest.h"
#include "darkroom/nn/network.h"
#include "text/added_words.h"

namespace darkroom {

/// What textual inversion embeddings (Gal et al. 2208.01618) add to a model's text encoders: rows behind
/// those of the vocabulary, and the words whose ids they are.
class Inversions {
 public:
  /// Finds each text encoder's table of tokens, from the networks' files: none need be loaded, but hashes
  /// must have been checked. Throws as check_embeddings, and ModelError for an embedding that does not fit.
  Inversions(const Manifest& manifest, const std::vector<Embedding>& embeddings);

  /// Makes the network's table that of its file and these rows.
  void apply(Network& network) const;

  /// For prompts that this tokenizer reads.
  std::vector<AddedWord> words(const std::string& tokenizer) const;

 private:
  std::map<std::string, Tensors> rows_;  ///< by network, then parameter
  std::map<std::string, std::vector<AddedWord>> words_;
};

}  // namespace darkroom
