#include "darkroom/image/png.h"

#include <algorithm>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "image/png_chunk.h"
#include "image/png_pixels.h"
#include "image/png_text.h"

namespace darkroom {
namespace {

constexpr size_t kMaxInflated = size_t{64} << 20;  // of all compressed texts together

}  // namespace

std::vector<uint8_t> encode_png(const Image& image, const std::vector<PngText>& texts) {
  const std::vector<uint8_t> pixels = encode_png_pixels(image);
  std::vector<uint8_t> file(pixels.begin(), pixels.begin() + kPngStart);
  for (const PngText& text : texts) append_png_text(text, file);
  file.insert(file.end(), pixels.begin() + kPngStart, pixels.end());
  return file;
}

std::vector<PngText> read_png_texts(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  try {
    std::vector<PngText> texts;
    size_t left = kMaxInflated;
    for (const PngChunk& chunk : png_chunks({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()})) {
      if (!is_png_text(chunk)) continue;
      texts.push_back(parse_png_text(chunk, left));
      if (chunk.type != "tEXt") left -= std::min(left, texts.back().second.size());
    }
    return texts;
  } catch (const PngFault& fault) {
    throw UsageError("'" + file.string() + "' is no whole PNG file: " + fault.text);
  }
}

}  // namespace darkroom
