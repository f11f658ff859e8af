#include "darkroom/text/utf8.h"

#include <cstdint>
#include <optional>

namespace darkroom {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Sequence {
  size_t bytes;  // of the sequence, or of the maximal subpart of it that is there
  bool valid;
};

// The sequence that `rest` (not empty) begins with, by Unicode's table 3-7: the lead byte says how many bytes
// follow and narrows the range of the second (no overlong forms, no surrogates, nothing past U+10FFFF).
Sequence first_sequence(std::string_view rest) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(rest[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const uint8_t second_low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t second_high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < bytes; ++i) {
    const uint8_t low = i == 1 ? second_low : 0x80, high = i == 1 ? second_high : 0xBF;
    if (i == rest.size() || byte(i) < low || byte(i) > high) return {i, false};
  }
  return {bytes, true};
}

}  // namespace

std::string valid_utf8(std::string_view bytes, Diagnostics& diagnostics, std::string_view place) {
  std::string text;
  text.reserve(bytes.size());
  std::optional<size_t> first_invalid;
  size_t replaced = 0;
  for (size_t at = 0; at < bytes.size();) {
    const Sequence sequence = first_sequence(bytes.substr(at));
    if (sequence.valid) {
      text += bytes.substr(at, sequence.bytes);
    } else {
      text += kReplacement;
      if (!first_invalid) first_invalid = at;
      ++replaced;
    }
    at += sequence.bytes;
  }
  if (first_invalid) {
    diagnostics.warn({"invalid_utf8",
                      "byte " + std::to_string(*first_invalid) + " is not valid UTF-8; " +
                          (replaced == 1 ? "it became U+FFFD"
                                         : "it and what else is invalid became U+FFFD, " +
                                               std::to_string(replaced) + " times"),
                      std::string(place)});
  }
  return text;
}

}  // namespace darkroom
