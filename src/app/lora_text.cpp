#include "app/lora_text.h"

#include "app/numbers.h"
#include "darkroom/base/error.h"

namespace darkroom {
namespace {

constexpr double kMostWeight = 100;

bool is_number(std::string_view text) {
  try {
    parse_number("", text, -1e300, 1e300);
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

}  // namespace

Lora parse_lora(std::string_view what, const std::string& text) {
  if (text.empty()) throw UsageError(std::string(what) + ": no file is named");
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return {text};
  const std::string file = text.substr(0, colon), weight = text.substr(colon + 1);
  std::error_code error;
  const bool damaged = !std::filesystem::exists(text, error) && std::filesystem::is_regular_file(file, error);
  if (!is_number(weight) && !damaged) return {text};  // a colon of the file's own
  return {file, parse_number(std::string(what) + ": weight", weight, -kMostWeight, kMostWeight)};
}

std::string lora_text(const Lora& lora) { return lora.file.string() + ":" + number_text(lora.weight); }

}  // namespace darkroom
