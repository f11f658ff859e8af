#pragma once

#include <string_view>
#include <vector>

#include "darkroom/text/composition.h"

namespace darkroom {

/// The parts of a prompt (valid UTF-8) that share a weight, as compel 2.5 reads them: cat++ and (a cat)++
/// weigh 1.1 for each +, and 0.9 for each -; (a cat)1.3 and (a cat).attend(1.3) weigh 1.3, and so does "a
/// cat" in double quotes; nested ones multiply. A backslash makes brackets and quotes text; what does not fit
/// is text. Neighbours of one weight are one part, with a space between; there is at least one part. Throws
/// UsageError for .swap(), .blend(), .and() and withLora(), which darkroom does not know.
std::vector<WeightedPrompt> parse_compel(std::string_view prompt);

}  // namespace darkroom
