#include "model/text_encoding.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "darkroom/base/error.h"
#include "model/compel.h"

namespace darkroom {
namespace {

const std::string kIds = "ids", kMask = "mask";

// A1111's emphasis "Original": each row times its weight, then all by one factor that restores their mean.
at::Tensor weigh_a1111(const at::Tensor& output, const at::Tensor& weights) {
  const at::Tensor rows = output.to(at::kFloat), weighed = rows * weights.to(rows).unsqueeze(-1);
  return weighed * (rows.mean() / weighed.mean());
}

}  // namespace

bool takes_mask(const Network& encoder) { return std::ranges::count(encoder.spec().inputs, kMask) > 0; }

bool holds_tokens(const at::Tensor& output, const Chunk& chunk) {
  return output.dim() == 3 && output.size(1) == static_cast<int64_t>(chunk.ids.size());
}

at::Tensor weights_of(const Chunk& chunk, const std::vector<WeightedPrompt>& parts) {
  std::vector<float> weights;
  for (const int part : chunk.parts)
    weights.push_back(part == Chunk::kFrame ? 1
                                            : static_cast<float>(parts[static_cast<size_t>(part)].weight));
  return at::tensor(weights, at::kFloat);
}

std::vector<Chunk> chunks_of(const Tokenizer& tokenizer, const std::vector<WeightedPrompt>& parts,
                             const Reading& reading, Diagnostics& diagnostics, std::string_view place) {
  const Chunking chunking = !reading.chunks                          ? Chunking::truncate
                            : reading.weighting == Weighting::a1111  ? Chunking::commas
                            : reading.weighting == Weighting::compel ? Chunking::sentences
                                                                     : Chunking::slices;
  return make_chunks(tokenizer, parts, chunking, diagnostics, place);
}

Tensors encode_chunk(Network& encoder, const Chunk& chunk, int64_t clip_skip, const at::Tensor& mask) {
  Tensors inputs = {{kIds, at::tensor(chunk.ids, at::kLong).unsqueeze(0)}};
  if (takes_mask(encoder))
    inputs[kMask] = mask.defined() ? mask.unsqueeze(0) : at::ones_like(inputs[kIds], at::kBool);
  Tensors outputs = encoder.run(inputs);
  // They last until the next run; these are kept.
  for (auto& [name, output] : outputs)
    if (name != kLayers) output = output.clone();
  if (const auto layers = outputs.find(std::string(kLayers)); layers != outputs.end()) {
    const at::Tensor states = layers->second;
    if (clip_skip >= states.size(1))
      throw UsageError("--clip-skip " + std::to_string(clip_skip) + ": the network '" + encoder.spec().name +
                       "' gives the states with at most " + std::to_string(states.size(1) - 1) +
                       " layers left out");
    if (clip_skip > 0) outputs[std::string(kHidden)] = states.select(1, clip_skip).clone();
    outputs.erase(layers);
  }
  return outputs;
}

Tensors encode_tokens(Network& encoder, const TokenizedPrompt& prompt, const Reading& reading) {
  if (reading.weighting == Weighting::compel) return encode_compel(encoder, prompt, reading);
  std::map<std::string, std::vector<at::Tensor>> rows;
  for (const Chunk& chunk : prompt.chunks) {
    for (const auto& [name, output] : encode_chunk(encoder, chunk, reading.clip_skip)) {
      if (!holds_tokens(output, chunk)) {
        if (rows[name].empty()) rows[name].push_back(output);
      } else {
        rows[name].push_back(reading.weighting == Weighting::a1111
                                 ? weigh_a1111(output, weights_of(chunk, prompt.parts))
                                 : output);
      }
    }
  }
  Tensors joined;
  for (const auto& [name, list] : rows) joined[name] = list.size() == 1 ? list.front() : at::cat(list, 1);
  return joined;
}

}  // namespace darkroom
