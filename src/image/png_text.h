#pragma once

#include <string>

#include "darkroom/image/png.h"
#include "image/png_chunk.h"

namespace darkroom {

/// Appends a text as tEXt or iTXt chunk (png.h says which). Throws BugError if the keyword breaks PNG's
/// rules, ResourceError if the text is larger than a chunk.
void append_png_text(const PngText& text, std::vector<uint8_t>& file);

bool is_png_text(const PngChunk& chunk);

/// The text of a tEXt, zTXt or iTXt chunk. Throws PngFault if the chunk is malformed or inflates to more than
/// `max_inflated` bytes.
PngText parse_png_text(const PngChunk& chunk, size_t max_inflated);

}  // namespace darkroom
