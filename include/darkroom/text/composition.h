#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

struct WeightedPrompt {
  std::string text;
  double weight = 1;
  bool operator==(const WeightedPrompt&) const = default;
};

/// "a cat :1.2 AND a hat" -> "a cat" of weight 1.2 and "a hat" of weight 1, as A1111 reads it: AND in
/// capitals and a word of its own parts the prompts, a number behind the last colon of one is its weight.
/// Characters outside ASCII count as letters.
std::vector<WeightedPrompt> split_composition(std::string_view prompt);

}  // namespace darkroom
