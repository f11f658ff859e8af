#include "model/compel.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace darkroom {
namespace {

/// Where the tokens of a part lie in the chunks below each other; what is between is of the part too.
struct Range {
  size_t begin = 0, end = 0;
};

Range range_of(int part, const std::vector<Chunk>& chunks) {
  Range range;
  size_t at = 0;
  for (const Chunk& chunk : chunks)
    for (const int of : chunk.parts) {
      if (of == part) range = {range.end == 0 ? at : range.begin, at + 1};
      ++at;
    }
  return range;
}

// All tokens of chunk `index` but the part's; the first and the last stay, so that there is something to
// attend to.
at::Tensor mask_without(const Range& range, size_t index, const Chunk& chunk) {
  const auto length = static_cast<int64_t>(chunk.ids.size());
  at::Tensor mask = at::ones({length}, at::kBool);
  const int64_t first = static_cast<int64_t>(index) * length;
  const int64_t begin = std::max<int64_t>(static_cast<int64_t>(range.begin) - first, 1),
                end = std::min(static_cast<int64_t>(range.end) - first, length - 1);
  if (begin < end) mask.slice(0, begin, end).fill_(false);
  return mask;
}

class Compel {
 public:
  Compel(Network& encoder, const TokenizedPrompt& prompt, const Reading& reading)
      : encoder_(encoder), prompt_(prompt), reading_(reading) {}

  Tensors encode() {
    std::vector<Tensors> variants = {weighed(prompt_.chunks, {})};
    std::vector<float> shares = {1};
    for (size_t i = 0; i < prompt_.parts.size(); ++i) {
      const double weight = prompt_.parts[i].weight;
      const Range range = range_of(static_cast<int>(i), prompt_.chunks);
      if (weight >= 1 || range.end == 0) continue;
      variants.push_back(takes_mask(encoder_) ? weighed(prompt_.chunks, range)
                                              : weighed(chunks_without(i), {}));
      shares.push_back(static_cast<float>(std::tan((1 - std::max(weight, 1e-5)) * std::numbers::pi / 2)));
    }
    return with_vectors(blended(variants, at::tensor(shares, at::kFloat)));
  }

 private:
  std::vector<Chunk> chunks_without(size_t part) const {
    std::vector<WeightedPrompt> parts = prompt_.parts;
    parts[part].text.clear();
    Silent silent;
    std::vector<Chunk> chunks = chunks_of(prompt_.tokenizer, parts, reading_, silent, "");
    chunks.resize(prompt_.chunks.size(), empty_chunk(prompt_.tokenizer));
    return chunks;
  }

  // The rows of tokens, weighted. A range that is not empty is masked.
  Tensors weighed(const std::vector<Chunk>& chunks, const Range& masked) {
    std::map<std::string, std::vector<at::Tensor>> rows;
    for (size_t i = 0; i < chunks.size(); ++i) {
      const at::Tensor mask = masked.end > 0 ? mask_without(masked, i, chunks[i]) : at::Tensor(),
                       weights = weights_of(chunks[i], prompt_.parts).unsqueeze(-1);
      const bool plain = weights.eq(1).all().item<bool>();
      for (const auto& [name, output] : encode_chunk(encoder_, chunks[i], reading_.clip_skip, mask)) {
        if (!holds_tokens(output, chunks[i])) continue;
        const at::Tensor row = output.to(at::kFloat);
        rows[name].push_back(plain ? row : from_empty(name, row, weights.to(row.device())));
      }
    }
    Tensors joined;
    for (const auto& [name, list] : rows) joined[name] = at::cat(list, 1);
    return joined;
  }

  at::Tensor from_empty(const std::string& name, const at::Tensor& row, const at::Tensor& weights) {
    if (empty_.empty()) empty_ = encode_chunk(encoder_, empty_chunk(prompt_.tokenizer), reading_.clip_skip);
    const at::Tensor empty = empty_.at(name).to(at::kFloat);
    return at::where(weights.eq(1), row, empty + (row - empty) * weights);
  }

  static Tensors blended(const std::vector<Tensors>& variants, const at::Tensor& shares) {
    if (variants.size() == 1) return variants.front();
    Tensors result;
    for (const auto& [name, first] : variants.front()) {
      std::vector<at::Tensor> list;
      for (const Tensors& variant : variants) list.push_back(variant.at(name));
      const at::Tensor parts = (shares / shares.sum()).to(first.device()).reshape({-1, 1, 1, 1});
      result[name] = (at::stack(list) * parts).sum(0);
    }
    return result;
  }

  Tensors with_vectors(Tensors rows) {
    if (rows.size() + (std::ranges::count(encoder_.spec().outputs, kLayers) > 0) ==
        encoder_.spec().outputs.size())
      return rows;
    Silent silent;
    const Chunk written =
        make_chunks(prompt_.tokenizer, {{prompt_.text, 1}}, Chunking::truncate, silent, "").front();
    for (const auto& [name, output] : encode_chunk(encoder_, written, reading_.clip_skip))
      if (!holds_tokens(output, written)) rows[name] = output;
    return rows;
  }

  Network& encoder_;
  const TokenizedPrompt& prompt_;
  const Reading& reading_;
  Tensors empty_;
};

}  // namespace

Tensors encode_compel(Network& encoder, const TokenizedPrompt& prompt, const Reading& reading) {
  return Compel(encoder, prompt, reading).encode();
}

}  // namespace darkroom
