#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "darkroom/image/image.h"

namespace darkroom {

/// One text chunk: keyword and text, both UTF-8. The keyword is 1-79 printable Latin-1 characters
/// (PNG 11.3.3.2).
using PngText = std::pair<std::string, std::string>;

/// The picture as a PNG file in memory. Text chunks stand right after IHDR: tEXt where the text is Latin-1,
/// else iTXt (an "XML:com.adobe.xmp" chunk is always iTXt). U+0000, which PNG text cannot hold, becomes
/// U+FFFD. Pixels go through stb_image_write with libdeflate behind it. Throws BugError if the picture's
/// bytes do not fit its size or a keyword breaks the rules, ResourceError if the picture is too large or
/// memory runs out.
std::vector<uint8_t> encode_png(const Image& image, const std::vector<PngText>& texts);

/// The text chunks (tEXt, zTXt, iTXt) of a PNG file, in file order, as UTF-8 (of iTXt: as it stands there,
/// unchecked). Throws UsageError naming the file, the chunk and its place if the file cannot be read, is no
/// whole PNG file (signature, chunk lengths and CRCs are checked up to IEND) or its compressed texts exceed
/// 64 MiB.
std::vector<PngText> read_png_texts(const std::filesystem::path& file);

}  // namespace darkroom
