#include "text/lost_words.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "text/code_point.h"

namespace darkroom {
namespace {

// Han and kana are written without spaces, so there each character counts as a word.
bool is_word_by_itself(char32_t code_point) {
  return (code_point >= 0x3040 && code_point <= 0x30FF) || (code_point >= 0x3400 && code_point <= 0x4DBF) ||
         (code_point >= 0x4E00 && code_point <= 0x9FFF) || (code_point >= 0xF900 && code_point <= 0xFAFF) ||
         (code_point >= 0x20000 && code_point <= 0x3FFFF);
}

struct Word {
  size_t begin, end;  // bytes
};

std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint code_point = first_code_point(text.substr(at));
    const size_t end = at + code_point.bytes;
    const bool alone = is_word_by_itself(code_point.value);
    if (is_white_space(code_point.value)) {
      inside = false;
    } else if (inside && !alone) {
      words.back().end = end;
    } else {
      words.push_back({at, end});
      inside = !alone;
    }
    at = end;
  }
  return words;
}

// On one line, and with its middle left out if it is longer than 80 characters.
std::string shortened(std::string_view text) {
  constexpr size_t kLongest = 80, kHead = 39, kTail = 40;
  std::u32string line;
  while (!text.empty()) {
    const CodePoint code_point = first_code_point(text);
    text.remove_prefix(code_point.bytes);
    if (!is_white_space(code_point.value)) {
      line += code_point.value;
    } else if (!line.empty() && line.back() != U' ') {
      line += U' ';
    }
  }
  if (!line.empty() && line.back() == U' ') line.pop_back();
  if (line.size() > kLongest) line.replace(kHead, line.size() - kHead - kTail, U"…");
  std::string result;
  for (const char32_t code_point : line) append_utf8(code_point, result);
  return result;
}

}  // namespace

std::string describe_lost_words(std::string_view text, size_t limit,
                                const std::function<size_t(std::string_view)>& token_count) {
  const std::vector<Word> words = words_of(text);
  const auto first_lost = std::partition_point(words.begin(), words.end(), [&](const Word& last) {
    return token_count(text.substr(0, last.end)) <= limit;
  });
  const auto lost = words.end() - first_lost;
  const std::string which =
      lost == 1 ? "the last word is past the " : "the last " + std::to_string(lost) + " words are past the ";
  return which + std::to_string(limit) + "-token limit and " + (lost == 1 ? "is" : "are") + " lost: \"" +
         shortened(text.substr(first_lost->begin)) + "\"";
}

}  // namespace darkroom
