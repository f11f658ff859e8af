#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "darkroom/model/embedding.h"

namespace darkroom {

/// An embedding's file, read and checked.
class EmbeddingFile {
 public:
  /// Vectors (count, channels) in float32, and their key in the file.
  struct Vectors {
    std::string key;
    at::Tensor rows;
  };

  /// Throws ModelError naming file and key: no whole safetensors file, another layout, a shape or dtype that
  /// vectors have not, NaN or Inf.
  explicit EmbeddingFile(const Embedding& embedding);

  const EmbeddingWords& words() const { return words_; }

  /// Those for one text encoder each, the last encoder's last.
  const std::vector<Vectors>& vectors() const { return vectors_; }

  /// Those of the last text encoders, of which there must be as many.
  std::span<const Vectors> of_last(size_t encoders) const { return std::span(vectors_).last(encoders); }

  size_t count() const { return static_cast<size_t>(vectors_.front().rows.size(0)); }

 private:
  EmbeddingWords words_;
  std::vector<Vectors> vectors_;
};

/// Files of all the embeddings, in their order. Throws as check_embeddings.
std::vector<EmbeddingFile> read_embeddings(const std::vector<Embedding>& embeddings);

}  // namespace darkroom
