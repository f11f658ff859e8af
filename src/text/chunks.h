#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "darkroom/base/diagnostics.h"
#include "darkroom/text/composition.h"
#include "darkroom/text/tokenizer.h"

namespace darkroom {

/// What the text encoder reads at once.
struct Chunk {
  std::vector<int64_t> ids;  ///< framed: Tokenizer::length()
  std::vector<int> parts;    ///< which part of the prompt each id is of; kFrame: of none
  static constexpr int kFrame = -1;
};

/// How a prompt that is longer than a window of the text encoder is parted.
enum class Chunking {
  truncate,  ///< one chunk; what does not fit is lost, with a warning of kind "words_lost" that names the
             ///< words
  slices,    ///< as many as are needed, each filled
  commas,  ///< as A1111: where a chunk is full, what stands behind a comma among its last 20 ids goes to the
           ///< next, and so does a word of several vectors that does not fit
  sentences,  ///< as compel: what stands behind the last full stop or, if there is none, behind the last of
              ///< .,;: or the last word goes to the next
};

/// That of an empty prompt.
Chunk empty_chunk(const Tokenizer& tokenizer);

/// The ids of the parts (valid UTF-8; see parse_attention), each part's made alone, in chunks. There is at
/// least one. A part that is_break() ends its chunk.
std::vector<Chunk> make_chunks(const Tokenizer& tokenizer, const std::vector<WeightedPrompt>& parts,
                               Chunking chunking, Diagnostics& diagnostics, std::string_view place);

}  // namespace darkroom
