#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace darkroom {

/// For the warning "words_lost": which words of `text` (valid UTF-8) lie past its first `limit` tokens, as
/// they were written. A word that is cut counts as lost. `token_count` gives the tokens of any beginning of
/// `text`.
std::string describe_lost_words(std::string_view text, size_t limit,
                                const std::function<size_t(std::string_view)>& token_count);

}  // namespace darkroom
