#include "model/inversions.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "darkroom/base/error.h"
#include "model/embedding_file.h"
#include "nn/stored_tensors.h"

namespace darkroom {
namespace {

/// A text encoder's table of tokens.
struct Table {
  std::string network, tokenizer, parameter;
  int64_t rows, channels;
};

Table table_of(const Manifest& manifest, const std::string& network, const std::string& tokenizer) {
  const StoredTensors file(manifest.folder / manifest.networks.at(network).file);
  for (const auto& [name, shape] : file.shapes())
    if (name.ends_with("token_embedding.weight") && shape.size() == 2)
      return {network, tokenizer, name, shape[0], shape[1]};
  throw ModelError("--embedding: network '" + network + "' of model '" + manifest.name +
                   "' has no table of tokens (token_embedding.weight)");
}

/// In the order of the text encoders.
std::vector<Table> tables_in(const Manifest& manifest) {
  std::vector<Table> tables;
  for (const Manifest::Conditioning& conditioning : manifest.conditioning)
    for (const Manifest::Source& source : conditioning.from) {
      const auto known = [&](const Table& table) { return table.network == source.network; };
      if (std::ranges::none_of(tables, known) && manifest.tokenizers.at(source.tokenizer).kind == "clip-bpe")
        tables.push_back(table_of(manifest, source.network, source.tokenizer));
    }
  if (tables.empty())
    throw ModelError("--embedding: model '" + manifest.name + "' has no text encoder of CLIP's");
  return tables;
}

/// Ids by tokenizer: as many as the tables have rows of the text encoders that it is for.
std::map<std::string, int64_t> vocabularies_of(const std::vector<Table>& tables, const Manifest& manifest) {
  std::map<std::string, int64_t> sizes;
  for (const Table& table : tables)
    if (sizes.emplace(table.tokenizer, table.rows).first->second != table.rows)
      throw ModelError("--embedding: text encoders of model '" + manifest.name + "' share the tokenizer '" +
                       table.tokenizer + "', but not the number of its tokens");
  return sizes;
}

/// Throws ModelError unless there are vectors for each table, of its width.
void check_fit(const EmbeddingFile& file, const std::vector<Table>& tables, const Manifest& manifest) {
  if (file.vectors().size() < tables.size())
    throw ModelError("holds vectors for one text encoder ('" + file.vectors().front().key +
                     "'), and model '" + manifest.name + "' has " + std::to_string(tables.size()) +
                     "; an embedding for it holds 'clip_l' and 'clip_g'");
  for (size_t i = 0; i < tables.size(); ++i) {
    const auto& [key, rows] = file.of_last(tables.size())[i];
    if (rows.size(1) != tables[i].channels)
      throw ModelError("does not fit the model: '" + key + "' has vectors of " +
                       std::to_string(rows.size(1)) + " channels, and text encoder '" + tables[i].network +
                       "' takes " + std::to_string(tables[i].channels));
    const int64_t room = manifest.tokenizers.at(tables[i].tokenizer).length - 2;
    if (rows.size(0) > room)
      throw ModelError("holds " + std::to_string(rows.size(0)) + " vectors, more than the " +
                       std::to_string(room) + " that text encoder '" + tables[i].network + "' reads at once");
  }
}

}  // namespace

Inversions::Inversions(const Manifest& manifest, const std::vector<Embedding>& embeddings) {
  if (embeddings.empty()) return;
  const std::vector<Table> tables = tables_in(manifest);
  const std::map<std::string, int64_t> sizes = vocabularies_of(tables, manifest);
  const std::vector<EmbeddingFile> files = read_embeddings(embeddings);
  std::map<std::string, std::vector<at::Tensor>> rows;  // by network
  size_t added = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const EmbeddingFile& file = files[i];
    try {
      check_fit(file, tables, manifest);
    } catch (const ModelError& error) {
      throw ModelError("'" + embeddings[i].file.string() + "' " + error.what());
    }
    for (size_t k = 0; k < tables.size(); ++k)
      rows[tables[k].network].push_back(file.of_last(tables.size())[k].rows);
    for (const auto& [tokenizer, size] : sizes)
      words_[tokenizer].push_back({file.words(), size + static_cast<int64_t>(added), file.count()});
    added += file.count();
  }
  for (const Table& table : tables) rows_[table.network][table.parameter] = at::cat(rows.at(table.network));
}

void Inversions::apply(Network& network) const {
  const auto found = rows_.find(network.spec().name);
  network.append_rows(found == rows_.end() ? Tensors() : found->second);
}

std::vector<AddedWord> Inversions::words(const std::string& tokenizer) const {
  const auto found = words_.find(tokenizer);
  return found == words_.end() ? std::vector<AddedWord>() : found->second;
}

}  // namespace darkroom
