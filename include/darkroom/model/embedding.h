#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// A textual inversion embedding (.safetensors): vectors that stand in a prompt for a word.
struct Embedding {
  std::filesystem::path file;
  std::string name = {};  ///< the word; empty: the file's stem, and what the file calls it

  bool operator==(const Embedding&) const = default;
};

/// The word.
std::string name_of(const Embedding& embedding);

/// What stands for the vectors in a prompt: NAME, <NAME>, and what the file calls them.
using EmbeddingWords = std::vector<std::string>;

/// The words of each. Throws ModelError, saying why, unless each is an embedding of a known layout: A1111's
/// (emb_params), diffusers' (one tensor under its word), SDXL's (clip_l, clip_g); UsageError if two have the
/// same word. Whether they fit a model is seen when they are applied.
std::vector<EmbeddingWords> check_embeddings(const std::vector<Embedding>& embeddings);

/// Whether one of them is in the prompt, whose weighting is one of weighting_names().
bool is_named(const EmbeddingWords& words, const std::string& prompt, std::string_view weighting);

}  // namespace darkroom
