#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/text/tokenizer.h"

namespace darkroom {

/// A word of prompts that has ids of its own instead of those of its letters.
struct AddedWord {
  std::vector<std::string> spellings;
  int64_t first_id;
  size_t count;  ///< of ids, one after the other
};

/// As CLIP's tokenizer compares it: "Café" and "café" are one.
std::string same_spelling(const std::string& word);

/// Whether one of the words is in the text (valid UTF-8), as with_added_words finds them.
bool holds_word(std::string_view text, const std::vector<std::string>& spellings);

/// The tokenizer, which must outlive this one, with further words. They are found as tokenizers finds added
/// tokens, the longest first and whatever the case, but not within a longer run of letters.
std::unique_ptr<Tokenizer> with_added_words(const Tokenizer& tokenizer, std::vector<AddedWord> words);

}  // namespace darkroom
