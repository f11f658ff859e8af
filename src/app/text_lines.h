#pragma once

#include <string_view>
#include <vector>

namespace darkroom {

struct TextLine {
  size_t number;  ///< from 1
  std::string_view text;
};

/// The bytes without a UTF-8 byte order mark.
std::string_view without_bom(std::string_view bytes);

/// The lines of a file, without their ends (LF or CRLF) and without a byte order mark; views into `bytes`.
std::vector<TextLine> text_lines(std::string_view bytes);

}  // namespace darkroom
