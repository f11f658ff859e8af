#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// Whose rules say which words of a prompt weigh more, and what that does.
enum class Weighting {
  none,    ///< brackets are text, as in diffusers
  a1111,   ///< A1111's syntax (parse_attention), and its emphasis "Original"
  compel,  ///< compel's syntax (parse_compel), and its way between a prompt and the empty one
};

std::vector<std::string> weighting_names();

/// Throws UsageError naming the nearest.
Weighting find_weighting(std::string_view name);

}  // namespace darkroom
