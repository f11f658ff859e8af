#pragma once

#include <string>
#include <string_view>

namespace darkroom {

struct CodePoint {
  char32_t value;
  size_t bytes;  ///< its length in UTF-8
};

/// The code point that `text` (valid UTF-8, not empty) begins with.
CodePoint first_code_point(std::string_view text);

void append_utf8(char32_t code_point, std::string& text);

/// Unicode's property White_Space. ASCII's separators U+001C..1F, which Python counts as space, are not in
/// it.
bool is_white_space(char32_t code_point);

}  // namespace darkroom
