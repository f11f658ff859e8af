#pragma once

#include <vector>

#include "darkroom/nn/network.h"
#include "darkroom/text/composition.h"
#include "model/reading.h"
#include "text/chunks.h"

namespace darkroom {

/// What the text encoder makes of the chunks, by output. Rows of tokens, (1, chunks * tokens, channels),
/// count by the weights of the parts they are of; what is no row of a token, such as a pooled vector, is the
/// first chunk's. Throws UsageError if the network has no more layers to leave out.
Tensors encode_chunks(Network& encoder, const std::vector<Chunk>& chunks,
                      const std::vector<WeightedPrompt>& parts, const Reading& reading);

}  // namespace darkroom
