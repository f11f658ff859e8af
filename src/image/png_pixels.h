#pragma once

#include <cstdint>
#include <vector>

#include "darkroom/image/image.h"

namespace darkroom {

/// The picture as a PNG file of three chunks: IHDR, IDAT, IEND. Throws as encode_png does.
std::vector<uint8_t> encode_png_pixels(const Image& image);

}  // namespace darkroom
