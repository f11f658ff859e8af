#pragma once

#include "model/text_encoding.h"

namespace darkroom {

/// encode_tokens as compel 2.5 does it. A token's row moves from that of the empty prompt through its own by
/// its weight. Each part of a weight below 1 is moreover blended with the prompt without it: masked where the
/// network takes a mask (DownweightMode.MASK), else removed (DownweightMode.REMOVE). What is no row of a
/// token is of the text as it was written, cut to one chunk. float32.
Tensors encode_compel(Network& encoder, const TokenizedPrompt& prompt, const Reading& reading);

}  // namespace darkroom
