#include "model/embedding_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/shape_text.h"
#include "darkroom/base/error.h"
#include "darkroom/data/safetensors.h"
#include "darkroom/text/utf8.h"
#include "model/reading.h"
#include "nn/tensor_view.h"
#include "text/added_words.h"

namespace darkroom {
namespace {

// SDXL's, in the order of its text encoders.
constexpr std::array kPairKeys = {"clip_l", "clip_g"};
// Of one tensor; any other key is the word itself, in diffusers' layout.
constexpr std::array kNoWords = {"emb_params", "*"};

template <class List>
bool holds(const List& list, const std::string& key) {
  return std::ranges::find(list, key) != std::ranges::end(list);
}

void refuse_pickle(const std::filesystem::path& file) {
  const std::string kind = file.extension();
  if (kind == ".pt" || kind == ".bin" || kind == ".pth" || kind == ".ckpt")
    throw ModelError("'" + file.string() +
                     "' is a pickle, which could run code; 'scripts/export --embedding " + file.string() +
                     " -o " + file.stem().string() + ".safetensors' takes the vectors out of it");
}

// Keys of the tensors that are vectors, in the order of the text encoders.
std::vector<std::string> keys_in(const Safetensors& file) {
  std::vector<std::string> keys, others;
  for (const char* key : kPairKeys)
    if (file.tensors().contains(key)) keys.emplace_back(key);
  for (const auto& [key, view] : file.tensors())
    if (!holds(kPairKeys, key)) others.push_back(key);
  if (keys.empty() && others.size() == 1) return others;
  if (others.empty() && !keys.empty()) return keys;
  const size_t count = file.tensors().size();
  throw ModelError("is no textual inversion embedding: it holds " +
                   (others.empty() ? std::string("nothing") : "'" + others.front() + "'") +
                   (count > 1 ? " and " + std::to_string(count - 1) + " more tensors" : "") +
                   "; an embedding is one tensor, such as 'emb_params', or 'clip_l' and 'clip_g'");
}

at::Tensor rows_in(const std::string& key, const TensorView& view) {
  constexpr std::array kFloats = {"F32", "F16", "BF16", "F64"};
  if (!holds(kFloats, view.dtype))
    throw ModelError("holds '" + key + "' as " + view.dtype + ", not as F32, F16 or BF16");
  if (view.shape.empty() || view.shape.size() > 2 || std::ranges::count(view.shape, 0) > 0)
    throw ModelError("holds '" + key + "' of the shape " + shape_text(view.shape) +
                     "; vectors have (count, channels) or (channels)");
  const at::Tensor rows = tensor_of(view).to(at::kFloat).reshape({-1, view.shape.back()});
  if (!rows.isfinite().all().item<bool>())
    throw ModelError("holds '" + key + "' with values that are no numbers (NaN or Inf)");
  return rows;
}

EmbeddingWords words_for(const Embedding& embedding, const std::string& key) {
  const std::string name = name_of(embedding);
  EmbeddingWords words = {name};
  if (!name.starts_with('<')) words.push_back("<" + name + ">");
  if (embedding.name.empty() && !holds(kPairKeys, key) && !holds(kNoWords, key) && !holds(words, key))
    words.push_back(key);
  return words;
}

}  // namespace

EmbeddingFile::EmbeddingFile(const Embedding& embedding) {
  refuse_pickle(embedding.file);
  const Safetensors file(embedding.file);
  try {
    for (const std::string& key : keys_in(file)) vectors_.push_back({key, rows_in(key, file.at(key))});
    const auto& [key, rows] = vectors_.front();
    words_ = words_for(embedding, key);
    if (rows.size(0) != vectors_.back().rows.size(0))
      throw ModelError("holds " + std::to_string(rows.size(0)) + " vectors in '" + key + "' and " +
                       std::to_string(vectors_.back().rows.size(0)) + " in '" + vectors_.back().key + "'");
  } catch (const ModelError& error) {
    throw ModelError("'" + embedding.file.string() + "' " + error.what());
  }
}

std::vector<EmbeddingFile> read_embeddings(const std::vector<Embedding>& embeddings) {
  std::vector<EmbeddingFile> files;
  std::map<std::string, const Embedding*> first;
  for (const Embedding& embedding : embeddings) {
    files.emplace_back(embedding);
    for (const std::string& word : files.back().words()) {
      const auto [same, is_new] = first.emplace(same_spelling(word), &embedding);
      if (!is_new && same->second != &embedding)
        throw UsageError("--embedding: '" + word + "' would stand for both '" + same->second->file.string() +
                         "' and '" + embedding.file.string() + "'; NAME=FILE gives one another name");
    }
  }
  return files;
}

std::vector<EmbeddingWords> check_embeddings(const std::vector<Embedding>& embeddings) {
  std::vector<EmbeddingWords> words;
  for (const EmbeddingFile& file : read_embeddings(embeddings)) words.push_back(file.words());
  return words;
}

std::string name_of(const Embedding& embedding) {
  return embedding.name.empty() ? embedding.file.stem().string() : embedding.name;
}

bool is_named(const EmbeddingWords& words, const std::string& prompt, std::string_view weighting) {
  Silent silent;
  return std::ranges::any_of(parts_of(valid_utf8(prompt, silent, ""), find_weighting(weighting)),
                             [&](const WeightedPrompt& part) { return holds_word(part.text, words); });
}

}  // namespace darkroom
