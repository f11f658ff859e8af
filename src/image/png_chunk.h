#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// A fault in the contents of a PNG file; the file's name is added where it is caught.
struct PngFault {
  std::string text;
};

/// One chunk of a PNG file (PNG specification, 5.3).
struct PngChunk {
  std::string type;               ///< four letters: "IHDR", "tEXt", ...
  std::span<const uint8_t> data;  ///< a view into the file's bytes
  size_t offset;                  ///< of the chunk in the file

  /// "chunk tEXt at byte 33", for messages.
  std::string place() const;
};

/// Bytes of the signature and the IHDR chunk, which every PNG file starts with.
constexpr size_t kPngStart = 8 + 12 + 13;

/// Every chunk of a PNG file up to IEND. Throws PngFault if the file is no whole PNG file: signature, order
/// of the first and last chunk, lengths and CRCs are checked.
std::vector<PngChunk> png_chunks(std::span<const uint8_t> file);

/// Appends length, type, data and CRC. `data` holds at most 2^31 - 1 bytes.
void append_png_chunk(std::string_view type, std::string_view data, std::vector<uint8_t>& file);

}  // namespace darkroom
