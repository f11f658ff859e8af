#include "image/png_chunk.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>

namespace darkroom {
namespace {

constexpr std::array<uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
constexpr size_t kAroundData = 12;  // length, type, CRC

uint32_t big_endian(std::span<const uint8_t> bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]};
}

void append_big_endian(uint32_t value, std::vector<uint8_t>& file) {
  for (const int shift : {24, 16, 8, 0}) file.push_back(static_cast<uint8_t>(value >> shift));
}

/// The chunk at the start of `rest`, which is `file` from `offset` on.
PngChunk first_chunk(std::span<const uint8_t> rest, size_t offset) {
  if (rest.size() < kAroundData)
    throw PngFault{"ends at byte " + std::to_string(offset) + ", before chunk IEND"};
  const uint32_t length = big_endian(rest);
  PngChunk chunk{{rest.begin() + 4, rest.begin() + 8}, {}, offset};
  for (const char c : chunk.type)
    if ((c < 'A' || c > 'Z') && (c < 'a' || c > 'z'))
      throw PngFault{"has no chunk at byte " + std::to_string(offset)};
  if (length > rest.size() - kAroundData)
    throw PngFault{chunk.place() + " is to have " + std::to_string(length) + " bytes, the file has " +
                   std::to_string(rest.size() - kAroundData) + " more"};
  chunk.data = rest.subspan(8, length);
  if (libdeflate_crc32(0, rest.data() + 4, 4 + length) != big_endian(rest.subspan(8 + length)))
    throw PngFault{chunk.place() + " has a wrong CRC"};
  return chunk;
}

}  // namespace

std::string PngChunk::place() const { return "chunk " + type + " at byte " + std::to_string(offset); }

std::vector<PngChunk> png_chunks(std::span<const uint8_t> file) {
  if (file.size() < kSignature.size() || !std::equal(kSignature.begin(), kSignature.end(), file.begin()))
    throw PngFault{"does not start with a PNG signature"};
  std::vector<PngChunk> chunks;
  size_t offset = kSignature.size();
  while (chunks.empty() || chunks.back().type != "IEND") {
    chunks.push_back(first_chunk(file.subspan(offset), offset));
    if (chunks[0].type != "IHDR") throw PngFault{chunks[0].place() + " stands where IHDR belongs"};
    offset += kAroundData + chunks.back().data.size();
  }
  return chunks;
}

void append_png_chunk(std::string_view type, std::string_view data, std::vector<uint8_t>& file) {
  append_big_endian(static_cast<uint32_t>(data.size()), file);
  const size_t start = file.size();
  file.insert(file.end(), type.begin(), type.end());
  file.insert(file.end(), data.begin(), data.end());
  append_big_endian(libdeflate_crc32(0, file.data() + start, file.size() - start), file);
}

}  // namespace darkroom
