#include "image/png_text.h"

#include <libdeflate.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

constexpr std::string_view kXmpKeyword = "XML:com.adobe.xmp";  // XMP specification part 3, 1.1.5
constexpr size_t kMaxChunk = 0x7FFFFFFF;

/// UTF-8 as Latin-1, if it has no other characters than the printable ones of Latin-1 and newlines
/// (PNG 11.3.3.2).
std::optional<std::string> latin1_from_utf8(std::string_view utf8) {
  std::string latin1;
  for (size_t i = 0; i < utf8.size(); ++i) {
    uint8_t c = static_cast<uint8_t>(utf8[i]);
    if ((c == 0xC2 || c == 0xC3) && i + 1 < utf8.size()) {
      const uint8_t next = static_cast<uint8_t>(utf8[++i]);
      if (next >> 6 != 0b10) return std::nullopt;
      c = static_cast<uint8_t>(c << 6 | (next & 0x3F));
    } else if (c >= 0x80) {
      return std::nullopt;
    }
    if (c != '\n' && (c < 0x20 || (c > 0x7E && c < 0xA0))) return std::nullopt;
    latin1 += static_cast<char>(c);
  }
  return latin1;
}

std::string utf8_from_latin1(std::string_view latin1) {
  std::string utf8;
  for (const char c : latin1) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (byte < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xC0 | byte >> 6);
      utf8 += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return utf8;
}

/// The keyword in Latin-1. PNG 11.3.3.2: no newline, no no-break space, no space at an end or beside another.
std::string checked_keyword(const std::string& keyword) {
  const std::optional<std::string> latin1 = latin1_from_utf8(keyword);
  if (!latin1 || latin1->empty() || latin1->size() > 79 || latin1->front() == ' ' || latin1->back() == ' ' ||
      latin1->find("  ") != std::string::npos || latin1->find_first_of("\n\xA0") != std::string::npos)
    throw BugError("'" + keyword + "' cannot be the keyword of a PNG text");
  return *latin1;
}

std::string without_nul(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\0') {
      result += "\xEF\xBF\xBD";  // U+FFFD
    } else {
      result += c;
    }
  }
  return result;
}

std::string inflate(std::string_view compressed, size_t max_size, const std::string& place) {
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (!decompressor) throw ResourceError("out of memory while reading a PNG text");
  std::string text;
  for (size_t size = std::min(max_size, 4 * compressed.size() + 64);; size = std::min(max_size, 2 * size)) {
    text.resize(size);
    size_t actual = 0;
    switch (libdeflate_zlib_decompress(decompressor.get(), compressed.data(), compressed.size(), text.data(),
                                       size, &actual)) {
      case LIBDEFLATE_SUCCESS:
        text.resize(actual);
        return text;
      case LIBDEFLATE_INSUFFICIENT_SPACE:
        if (size == max_size) throw PngFault{place + " inflates to more than is allowed"};
        break;
      default:
        throw PngFault{place + " has damaged compressed text"};
    }
  }
}

}  // namespace

void append_png_text(const PngText& text, std::vector<uint8_t>& file) {
  std::string data = checked_keyword(text.first);
  data += '\0';
  const std::string value = without_nul(text.second);
  const std::optional<std::string> latin1 =
      text.first == kXmpKeyword ? std::nullopt : latin1_from_utf8(value);
  if (!latin1) data.append(4, '\0');  // not compressed, method 0, no language, no translated keyword
  data += latin1 ? *latin1 : value;
  if (data.size() > kMaxChunk)
    throw ResourceError("the PNG text '" + text.first + "' is too large for a chunk");
  append_png_chunk(latin1 ? "tEXt" : "iTXt", data, file);
}

bool is_png_text(const PngChunk& chunk) {
  return chunk.type == "tEXt" || chunk.type == "zTXt" || chunk.type == "iTXt";
}

PngText parse_png_text(const PngChunk& chunk, size_t max_inflated) {
  std::string_view rest(reinterpret_cast<const char*>(chunk.data.data()), chunk.data.size());
  const auto take = [&](size_t count) {
    if (count > rest.size()) throw PngFault{chunk.place() + " is cut short"};
    const std::string_view taken = rest.substr(0, count);
    rest.remove_prefix(count);
    return taken;
  };
  const auto take_to_nul = [&] {
    const std::string_view taken = take(std::min(rest.find('\0'), rest.size()));
    take(1);
    return taken;
  };
  const auto inflated = [&](char method) {
    if (method != 0) throw PngFault{chunk.place() + " has an unknown compression method"};
    return inflate(rest, max_inflated, chunk.place());
  };
  const std::string keyword = utf8_from_latin1(take_to_nul());
  if (chunk.type == "tEXt") return {keyword, utf8_from_latin1(rest)};
  if (chunk.type == "zTXt") return {keyword, utf8_from_latin1(inflated(take(1)[0]))};
  const std::string_view compression = take(2);  // flag, method
  take_to_nul();                                 // language
  take_to_nul();                                 // translated keyword
  return {keyword, compression[0] == 0 ? std::string(rest) : inflated(compression[1])};
}

}  // namespace darkroom
