#pragma once

#include <string_view>
#include <vector>

#include "darkroom/text/composition.h"

namespace darkroom {

/// The parts of a prompt (valid UTF-8) that share an attention weight, as A1111's prompt_parser reads them:
/// (x) weighs 1.1, [x] 1/1.1, (x:1.3) 1.3, and nested brackets multiply; a bracket never closed reaches to
/// the end, one never opened is text; a backslash makes brackets text. BREAK, a word of its own, is a part
/// that is_break(). Adjacent parts of one weight are one; there is at least one part. Throws UsageError for
/// A1111's [from:to:when] and [a|b], which change the prompt from step to step.
std::vector<WeightedPrompt> parse_attention(std::string_view prompt);

/// Whether this part is no text, but ends the window of the text encoder that it stands in.
bool is_break(const WeightedPrompt& part);

}  // namespace darkroom
