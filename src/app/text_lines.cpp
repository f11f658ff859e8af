#include "app/text_lines.h"

namespace darkroom {

std::string_view without_bom(std::string_view bytes) {
  return bytes.starts_with("\xEF\xBB\xBF") ? bytes.substr(3) : bytes;
}

std::vector<TextLine> text_lines(std::string_view bytes) {
  bytes = without_bom(bytes);
  std::vector<TextLine> lines;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    std::string_view text = bytes.substr(0, end);
    if (text.ends_with('\r')) text.remove_suffix(1);
    lines.push_back({lines.size() + 1, text});
    bytes = end == std::string_view::npos ? std::string_view() : bytes.substr(end + 1);
  }
  return lines;
}

}  // namespace darkroom
