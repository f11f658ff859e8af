#pragma once

#include <cstdint>
#include <vector>

namespace darkroom {

/// 8-bit sRGB picture, rows from the top, three bytes a pixel.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;
};

}  // namespace darkroom
