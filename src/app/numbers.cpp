#include "app/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

std::string as_text(int64_t value) { return std::to_string(value); }
std::string as_text(double value) { return number_text(value); }

template <typename Number>
Number parse(std::string_view what, std::string_view text, Number low, Number high, const char* kind) {
  const std::string allowed = " (allowed: " + as_text(low) + " to " + as_text(high) + ")";
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = end == text.data() + text.size() && error != std::errc::invalid_argument;
  if (!whole || value != value)
    throw UsageError(std::string(what) + ": '" + std::string(text) + "' is not " + kind + allowed);
  if (error == std::errc::result_out_of_range || value < low || value > high)
    throw UsageError(std::string(what) + ": " + std::string(text) + " is out of range" + allowed);
  return value;
}

}  // namespace

int64_t parse_integer(std::string_view what, std::string_view text, int64_t low, int64_t high) {
  return parse(what, text, low, high, "a whole number");
}

double parse_number(std::string_view what, std::string_view text, double low, double high) {
  return parse(what, text, low, high, "a number");
}

std::vector<double> parse_numbers(std::string_view what, std::string_view text, double low, double high) {
  std::vector<double> numbers;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    numbers.push_back(parse_number(what, text.substr(start, comma - start), low, high));
    start = comma + 1;
  }
  return numbers;
}

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string bytes_text(int64_t bytes) {
  char text[32];
  if (bytes >= 1'000'000'000)
    std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  else
    std::snprintf(text, sizeof text, "%.0f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  const auto hours = static_cast<int>(whole / 3600), minutes = static_cast<int>(whole / 60 % 60),
             rest = static_cast<int>(whole % 60);
  char text[48];
  if (hours > 0)
    std::snprintf(text, sizeof text, "%d:%02d:%02d", hours, minutes, rest);
  else
    std::snprintf(text, sizeof text, "%d:%02d", minutes, rest);
  return text;
}

}  // namespace darkroom
