#include "text/clip_characters.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "text/code_point.h"

namespace darkroom {
namespace {

// tokenizers 0.23.3 takes its three facts about characters from three Unicode versions, utf8proc 2.8 all
// from 15.0. The tables hold every difference, found by comparing the two over all code points
// (tokenizer_code_points.txt in tests/goldens holds the comparison).
struct Range {
  char32_t first, last;
};

// Classes: Unicode 16.
constexpr Range kNewerLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
    {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
    {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
    {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D},
};
constexpr Range kNewerNumbers[] = {
    {0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x16130, 0x16139},
    {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA},
};

// Lower case: Unicode 17.
struct LowerCase {
  char32_t first, last;
  int32_t offset;
};
constexpr LowerCase kNewerLowerCase[] = {
    {0x1C89, 0x1C89, 1},    {0xA7CB, 0xA7CB, -42343}, {0xA7CC, 0xA7CC, 1}, {0xA7CE, 0xA7CE, 1},
    {0xA7D2, 0xA7D2, 1},    {0xA7D4, 0xA7D4, 1},      {0xA7DA, 0xA7DA, 1}, {0xA7DC, 0xA7DC, -42561},
    {0x10D50, 0x10D65, 32}, {0x16EA0, 0x16EB8, 27},
};

// NFC: Unicode 10. Marks that came later neither change places with their neighbours nor compose; the ranges
// also span characters to which that makes no difference.
constexpr Range kNewerMarks[] = {
    {0x07FD, 0x07FD},   {0x0898, 0x08D3},   {0x09FE, 0x09FE},   {0x0C3C, 0x0C3C},   {0x0D3B, 0x0D3C},
    {0x0EBA, 0x0EBA},   {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},
    {0x10D24, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x11935},
    {0x1193D, 0x11A99}, {0x11D42, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E4EF},
};

template <typename Row, size_t kRows>
const Row* row_of(const Row (&table)[kRows], char32_t code_point) {
  const Row* row =
      std::lower_bound(std::begin(table), std::end(table), code_point,
                       [](const Row& candidate, char32_t value) { return candidate.last < value; });
  return row != std::end(table) && row->first <= code_point ? row : nullptr;
}

// NFC of `text`, which contains none of kNewerMarks.
std::u32string nfc(std::string_view text) {
  constexpr auto kNfc = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  // Decomposed, two bytes of UTF-8 become at most four code points (U+01D5: three).
  std::vector<utf8proc_int32_t> buffer(2 * text.size());
  utf8proc_ssize_t count = utf8proc_decompose(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                              static_cast<utf8proc_ssize_t>(text.size()), buffer.data(),
                                              static_cast<utf8proc_ssize_t>(buffer.size()), kNfc);
  count = utf8proc_normalize_utf32(buffer.data(), count, kNfc);
  return {buffer.begin(), buffer.begin() + count};
}

void append_lower_case(char32_t code_point, std::string& text) {
  if (code_point == 0x130) {  // the one lower case of two code points; utf8proc knows only the first
    text += "i\xCC\x87";
    return;
  }
  auto lower = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point)));
  if (lower == code_point) {
    if (const LowerCase* row = row_of(kNewerLowerCase, code_point)) lower += row->offset;
  }
  append_utf8(lower, text);
}

}  // namespace

CharacterClass clip_class(char32_t code_point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::number;
    case UTF8PROC_CATEGORY_CN:  // unassigned in utf8proc's version
      return row_of(kNewerLetters, code_point)   ? CharacterClass::letter
             : row_of(kNewerNumbers, code_point) ? CharacterClass::number
                                                 : CharacterClass::symbol;
    default:
      return CharacterClass::symbol;
  }
}

std::string clip_normalize(std::string_view text) {
  std::string normalized;
  normalized.reserve(text.size());
  const auto append = [&](std::string_view run) {
    for (const char32_t code_point : nfc(run)) append_lower_case(code_point, normalized);
  };
  size_t run = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint code_point = first_code_point(text.substr(at));
    if (row_of(kNewerMarks, code_point.value)) {
      append(text.substr(run, at - run));
      append_lower_case(code_point.value, normalized);
      run = at + code_point.bytes;
    }
    at += code_point.bytes;
  }
  append(text.substr(run));
  return normalized;
}

}  // namespace darkroom
