#include "model/conditioner.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "darkroom/text/utf8.h"
#include "model/load.h"
#include "model/weighting.h"
#include "text/attention.h"
#include "text/chunks.h"

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

// "network.output"
std::pair<std::string, std::string> split_source(const std::string& source) {
  const size_t dot = source.find('.');
  return {source.substr(0, dot), source.substr(dot + 1)};
}

std::vector<WeightedPrompt> parts_of(const std::string& text, const Reading& reading) {
  if (reading.weighting == Weighting::a1111) return parse_attention(text);
  return {{text, 1}};
}

Chunking chunking_of(const Reading& reading) {
  if (!reading.chunks) return Chunking::truncate;
  return reading.weighting == Weighting::a1111 ? Chunking::commas : Chunking::slices;
}

}  // namespace

Conditioner::Conditioner(const Manifest& manifest, at::Device device, at::ScalarType precision,
                         bool keep_encoders, Diagnostics& diagnostics)
    : manifest_(manifest),
      device_(device),
      precision_(precision),
      keep_encoders_(keep_encoders),
      diagnostics_(diagnostics) {
  for (const auto& [name, spec] : manifest.tokenizers)
    tokenizers_[name] = make_tokenizer(spec, manifest.folder);
  if (!keep_encoders) return;
  for (const Manifest::Conditioning& conditioning : manifest.conditioning)
    for (const std::string& source : conditioning.from) encoder(split_source(source).first);
}

Network& Conditioner::encoder(const std::string& name) {
  const auto loaded = encoders_.find(name);
  if (loaded != encoders_.end()) return loaded->second;
  Network network = load_network(manifest_, name, device_, precision_);
  if (adaptation_) adaptation_->apply(network);
  return encoders_.emplace(name, std::move(network)).first->second;
}

void Conditioner::adapt(std::shared_ptr<const Adaptation> adaptation) {
  recent_.clear();
  adaptation_ = std::move(adaptation);
  for (auto& [name, network] : encoders_) adaptation_->apply(network);
}

void Conditioner::release() {
  if (!keep_encoders_) encoders_.clear();
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
  const std::vector<WeightedPrompt> parts =
      parts_of(valid_utf8(prompt.value_or(""), diagnostics_, place), reading);
  std::map<std::string, std::vector<Chunk>> chunks;  // by tokenizer
  for (const Manifest::Conditioning& conditioning : manifest_.conditioning)
    for (const std::string& name : conditioning.tokenizers)
      if (!chunks.contains(name))
        chunks[name] = make_chunks(*tokenizers_.at(name), parts, chunking_of(reading), diagnostics_, place);
  size_t most = 0;
  for (const auto& [name, list] : chunks) most = std::max(most, list.size());
  for (auto& [name, list] : chunks) list.resize(most, empty_chunk(*tokenizers_.at(name)));

  std::map<std::pair<std::string, std::string>, Tensors>
      outputs;  // of (network, tokenizer): one run serves all roles
  Tensors result;
  for (const Manifest::Conditioning& conditioning : manifest_.conditioning) {
    if (conditioning.from.empty()) continue;
    std::vector<at::Tensor> rows;
    for (size_t i = 0; i < conditioning.from.size(); ++i) {
      const auto [network, output] = split_source(conditioning.from[i]);
      const auto run = std::pair(network, conditioning.tokenizers[i]);
      if (!outputs.contains(run))
        outputs[run] = encode_chunks(encoder(network), chunks.at(run.second), parts, reading);
      rows.push_back(outputs.at(run).at(output));
    }
    at::Tensor joined = at::cat(rows, -1);
    if (!prompt && conditioning.empty == "zeros") joined = at::zeros_like(joined);
    result[conditioning.role] = joined;
  }
  return result;
}

}  // namespace darkroom
