#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "darkroom/image/image.h"

namespace darkroom {

/// One text chunk: keyword and UTF-8 text.
using PngText = std::pair<std::string, std::string>;

/// The picture as a PNG file in memory. Text chunks stand right after IHDR: tEXt where the text is Latin-1,
/// else iTXt (an "XML:com.adobe.xmp" chunk is always iTXt). Pixels go through stb_image_write with libdeflate
/// behind it.
std::vector<uint8_t> encode_png(const Image& image, const std::vector<PngText>& texts);

/// The text chunks (tEXt, zTXt, iTXt) of a PNG file, in file order, as UTF-8. Throws UsageError if the file
/// cannot be read or is no whole PNG file (signature, chunk lengths and CRCs are checked up to IEND).
std::vector<PngText> read_png_texts(const std::filesystem::path& file);

}  // namespace darkroom
