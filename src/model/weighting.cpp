#include "model/weighting.h"

#include <ATen/ATen.h>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

bool holds_tokens(const at::Tensor& output, const Chunk& chunk) {
  return output.dim() == 3 && output.size(1) == static_cast<int64_t>(chunk.ids.size());
}

// (tokens): 1 for what is no part's.
at::Tensor weights_of(const Chunk& chunk, const std::vector<WeightedPrompt>& parts) {
  std::vector<float> weights;
  for (const int part : chunk.parts)
    weights.push_back(part == Chunk::kFrame ? 1
                                            : static_cast<float>(parts[static_cast<size_t>(part)].weight));
  return at::tensor(weights, at::kFloat);
}

// A1111's emphasis "Original": each row times its weight, then all by one factor that restores their mean.
at::Tensor weigh_a1111(const at::Tensor& output, const at::Tensor& weights) {
  const at::Tensor rows = output.to(at::kFloat), weighed = rows * weights.to(rows).unsqueeze(-1);
  return weighed * (rows.mean() / weighed.mean());
}

Tensors outputs_of(Network& encoder, const Chunk& chunk, int64_t clip_skip) {
  const std::string hidden(kHidden), layers(kLayers);
  Tensors outputs = encoder.run({{"ids", at::tensor(chunk.ids, at::kLong).unsqueeze(0)}});
  if (!outputs.contains(layers)) return outputs;
  const at::Tensor states = outputs.extract(layers).mapped();
  if (clip_skip >= states.size(1))
    throw UsageError("--clip-skip " + std::to_string(clip_skip) + ": the network '" + encoder.spec().name +
                     "' gives the states with at most " + std::to_string(states.size(1) - 1) +
                     " layers left out");
  if (clip_skip > 0) outputs[hidden] = states.select(1, clip_skip);
  return outputs;
}

}  // namespace

Tensors encode_chunks(Network& encoder, const std::vector<Chunk>& chunks,
                      const std::vector<WeightedPrompt>& parts, const Reading& reading) {
  std::map<std::string, std::vector<at::Tensor>> rows;
  for (const Chunk& chunk : chunks) {
    // A network's outputs last until its next run; these are kept.
    for (const auto& [name, output] : outputs_of(encoder, chunk, reading.clip_skip)) {
      if (!holds_tokens(output, chunk)) {
        if (rows[name].empty()) rows[name].push_back(output.clone());
      } else if (reading.weighting == Weighting::none) {
        rows[name].push_back(output.clone());
      } else {
        rows[name].push_back(weigh_a1111(output, weights_of(chunk, parts)));
      }
    }
  }
  Tensors joined;
  for (const auto& [name, list] : rows) joined[name] = at::cat(list, list.front().dim() == 3 ? 1 : 0);
  return joined;
}

}  // namespace darkroom
