#include "model/conditioner.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "darkroom/text/utf8.h"
#include "model/text_encoding.h"

namespace darkroom {
namespace {

// Embeddings of Stable Diffusion XL are 0.6 MB a prompt at fp32.
constexpr size_t kKeptPrompts = 256;

std::unique_ptr<Tokenizer> make_tokenizer(const Manifest::Tokenizer& spec,
                                          const std::filesystem::path& folder) {
  if (spec.kind == "sentencepiece") return make_sentencepiece_tokenizer(folder / spec.file, spec.length);
  return make_clip_tokenizer(folder / spec.file, spec.pad == "zero" ? Padding::zero : Padding::end,
                             spec.length);
}

using Run = std::pair<std::string, std::string>;  // (network, tokenizer)

}  // namespace

Conditioner::Conditioner(const Manifest& manifest, Networks& networks, Diagnostics& diagnostics, bool alone)
    : manifest_(manifest), networks_(networks), diagnostics_(diagnostics), alone_(alone) {
  for (const auto& [name, spec] : manifest.tokenizers)
    tokenizers_[name] = make_tokenizer(spec, manifest.folder);
}

void Conditioner::adapt(const Adaptation& adaptation) {
  recent_.clear();
  with_words_.clear();
  for (const auto& [name, tokenizer] : tokenizers_)
    if (auto words = adaptation.words(name); !words.empty())
      with_words_[name] = with_added_words(*tokenizer, std::move(words));
}

const Tokenizer& Conditioner::tokenizer(const std::string& name) const {
  const auto found = with_words_.find(name);
  return *(found == with_words_.end() ? tokenizers_.at(name) : found->second);
}

const Tensors& Conditioner::encode(const std::optional<std::string>& prompt, const std::string& place,
                                   const Reading& reading) {
  auto entry = std::ranges::find_if(
      recent_, [&](const Entry& kept) { return kept.prompt == prompt && kept.reading == reading; });
  if (entry == recent_.end()) {
    if (recent_.size() >= kKeptPrompts) recent_.pop_back();
    recent_.push_front({prompt, reading, run_encoders(prompt, place, reading)});
  } else {
    recent_.splice(recent_.begin(), recent_, entry);
  }
  return recent_.front().tensors;
}

Tensors Conditioner::run_encoders(const std::optional<std::string>& prompt, const std::string& place,
                                  const Reading& reading) {
  const std::string text = valid_utf8(prompt.value_or(""), diagnostics_, place);
  const std::vector<WeightedPrompt> parts = parts_of(text, reading.weighting);
  std::map<std::string, TokenizedPrompt> tokenized;  // by tokenizer
  size_t most = 0;
  for (const Manifest::Conditioning& conditioning : manifest_.conditioning)
    for (const auto& [network, output, name] : conditioning.from) {
      if (tokenized.contains(name)) continue;
      std::vector<Chunk> chunks = chunks_of(tokenizer(name), parts, reading, diagnostics_, place);
      most = std::max(most, chunks.size());
      tokenized.emplace(name, TokenizedPrompt{tokenizer(name), text, parts, std::move(chunks)});
    }
  for (auto& [name, one] : tokenized) one.chunks.resize(most, empty_chunk(one.tokenizer));

  // One run serves all roles.
  std::vector<Run> runs;
  for (const Manifest::Conditioning& conditioning : manifest_.conditioning)
    for (const Manifest::Source& source : conditioning.from)
      if (const Run run(source.network, source.tokenizer); !std::ranges::count(runs, run))
        runs.push_back(run);
  // A network that is there already runs before it makes room.
  if (alone_)
    std::ranges::stable_partition(runs, [&](const Run& run) { return networks_.is_there(run.first); });
  std::map<Run, Tensors> outputs;
  for (const Run& run : runs) {
    if (alone_)
      for (const Run& other : runs)
        if (other.first != run.first) networks_.put_aside(other.first);
    outputs[run] = encode_tokens(networks_.get(run.first), tokenized.at(run.second), reading);
  }

  Tensors result;
  for (const Manifest::Conditioning& conditioning : manifest_.conditioning) {
    if (conditioning.from.empty()) continue;
    std::vector<at::Tensor> rows;
    for (const auto& [network, output, tokenizer] : conditioning.from)
      rows.push_back(outputs.at({network, tokenizer}).at(output));
    at::Tensor joined = at::cat(rows, -1);
    if (!prompt && conditioning.empty == "zeros") joined = at::zeros_like(joined);
    result[conditioning.role] = joined;
  }
  return result;
}

}  // namespace darkroom
