#include "text/weight.h"

#include <algorithm>
#include <charconv>

namespace darkroom {

std::optional<double> parse_weight(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (std::ranges::count(text, '.') > 1 || std::ranges::none_of(text, is_digit) ||
      !std::ranges::all_of(text, [&](char c) { return is_digit(c) || c == '.'; }))
    return std::nullopt;
  double weight = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), weight).ec != std::errc()) return std::nullopt;
  return negative ? -weight : weight;
}

}  // namespace darkroom
