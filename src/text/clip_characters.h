#pragma once

#include <string>
#include <string_view>

namespace darkroom {

/// The three kinds of character that CLIP's pre-tokenizer tells apart: \p{L}, \p{N} and the rest. Combining
/// marks are symbols.
enum class CharacterClass { letter, number, symbol };

/// Classes of Unicode 16, as in the Oniguruma that tokenizers 0.23 builds in. White space has no class here.
CharacterClass clip_class(char32_t code_point);

/// NFC, then lower case code point by code point (so no final sigma), as tokenizers 0.23 normalises. `text`
/// is valid UTF-8 without white space, which no composition crosses.
std::string clip_normalize(std::string_view text);

}  // namespace darkroom
