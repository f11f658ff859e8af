#include "darkroom/text/composition.h"

#include "base/trimmed.h"
#include "text/weight.h"

namespace darkroom {
namespace {

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         c == '_';
}

WeightedPrompt weighted(std::string_view part) {
  const size_t colon = part.rfind(':');
  if (colon != part.npos)
    if (const auto weight = parse_weight(trimmed(part.substr(colon + 1))))
      return {std::string(trimmed(part.substr(0, colon))), *weight};
  return {std::string(trimmed(part)), 1};
}

// Where the next AND begins; npos if there is none.
size_t find_and(std::string_view text) {
  for (size_t at = text.find("AND"); at != text.npos; at = text.find("AND", at + 1)) {
    const bool begins = at == 0 || !is_word(text[at - 1]),
               ends = at + 3 == text.size() || !is_word(text[at + 3]);
    if (begins && ends) return at;
  }
  return text.npos;
}

}  // namespace

std::vector<WeightedPrompt> split_composition(std::string_view prompt) {
  std::vector<WeightedPrompt> prompts;
  for (size_t at = find_and(prompt); at != prompt.npos; at = find_and(prompt)) {
    prompts.push_back(weighted(prompt.substr(0, at)));
    prompt.remove_prefix(at + 3);
  }
  prompts.push_back(weighted(prompt));
  return prompts;
}

}  // namespace darkroom
