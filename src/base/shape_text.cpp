#include "base/shape_text.h"

namespace darkroom {

std::string shape_text(std::span<const int64_t> shape) {
  std::string text;
  for (const int64_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
  return "[" + text + "]";
}

}  // namespace darkroom
