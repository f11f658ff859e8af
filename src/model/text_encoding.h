#pragma once

#include <string>
#include <vector>

#include "darkroom/nn/network.h"
#include "darkroom/text/composition.h"
#include "darkroom/text/tokenizer.h"
#include "model/reading.h"
#include "text/chunks.h"

namespace darkroom {

/// A prompt as a text encoder reads it.
struct TokenizedPrompt {
  const Tokenizer& tokenizer;
  std::string text;
  std::vector<WeightedPrompt> parts;
  std::vector<Chunk> chunks;
};

/// The ids of the parts in chunks, as the reading wants them parted.
std::vector<Chunk> chunks_of(const Tokenizer& tokenizer, const std::vector<WeightedPrompt>& parts,
                             const Reading& reading, Diagnostics& diagnostics, std::string_view place);

/// What the text encoder makes of the prompt, by output. Rows of tokens, (1, chunks * tokens, channels),
/// count by the weights of the parts they are of; what is no row of a token, such as a pooled vector, is the
/// first chunk's. Throws UsageError if the network has no more layers to leave out.
Tensors encode_tokens(Network& encoder, const TokenizedPrompt& prompt, const Reading& reading);

/// The same for one chunk without weights. `mask`, (tokens), says which may be attended to, where the network
/// takes one (takes_mask); undefined: all.
Tensors encode_chunk(Network& encoder, const Chunk& chunk, int64_t clip_skip, const at::Tensor& mask = {});

bool takes_mask(const Network& encoder);

/// Whether an output holds a row for each token of the chunk.
bool holds_tokens(const at::Tensor& output, const Chunk& chunk);

/// The weight of each token, (tokens) float32; 1 for what is no part's.
at::Tensor weights_of(const Chunk& chunk, const std::vector<WeightedPrompt>& parts);

}  // namespace darkroom
