#include "image/png_pixels.h"

#include <libdeflate.h>

#include <climits>
#include <cstdlib>
#include <memory>
#include <string>

#include "darkroom/base/error.h"

namespace {

/// What stb_image_write calls in place of its own deflate, whose level does not apply here: libdeflate's
/// level 1 makes smaller files than stb's default, in a quarter of the time. The result is malloc'ed; null if
/// there is no memory.
unsigned char* deflate(const unsigned char* bytes, int size, int* compressed_size, int /*level*/) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(1);
  if (compressor == nullptr) return nullptr;
  const size_t bound = libdeflate_zlib_compress_bound(compressor, static_cast<size_t>(size));
  auto* compressed = static_cast<unsigned char*>(std::malloc(bound));
  if (compressed != nullptr)
    *compressed_size = static_cast<int>(
        libdeflate_zlib_compress(compressor, bytes, static_cast<size_t>(size), compressed, bound));
  libdeflate_free_compressor(compressor);
  return compressed;
}

unsigned int crc32(const unsigned char* bytes, int size) {
  return libdeflate_crc32(0, bytes, static_cast<size_t>(size));
}

}  // namespace

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS deflate
#define STBIW_CRC32 crc32
#include <stb_image_write.h>

namespace darkroom {

std::vector<uint8_t> encode_png_pixels(const Image& image) {
  const std::string size = std::to_string(image.width) + "x" + std::to_string(image.height);
  if (image.width < 1 || image.height < 1 ||
      image.rgb.size() / 3 / static_cast<size_t>(image.width) != static_cast<size_t>(image.height) ||
      image.rgb.size() % (3 * static_cast<size_t>(image.width)) != 0)
    throw BugError("a picture of " + size + " pixels has " + std::to_string(image.rgb.size()) + " bytes");
  // stb counts bytes in int; a sixteenth is left for what deflate may add.
  if ((3 * static_cast<size_t>(image.width) + 1) * static_cast<size_t>(image.height) > INT_MAX / 16 * 15)
    throw ResourceError("a picture of " + size + " pixels is too large for a PNG file");
  int bytes = 0;
  const std::unique_ptr<unsigned char, decltype(&std::free)> file(
      stbi_write_png_to_mem(image.rgb.data(), 3 * image.width, image.width, image.height, 3, &bytes),
      std::free);
  if (!file) throw ResourceError("out of memory while encoding a picture of " + size + " pixels");
  return {file.get(), file.get() + bytes};
}

}  // namespace darkroom
