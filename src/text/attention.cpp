#include "text/attention.h"

#include <optional>
#include <string>

#include "base/trimmed.h"
#include "darkroom/base/error.h"
#include "text/clip_characters.h"
#include "text/code_point.h"
#include "text/weight.h"

namespace darkroom {
namespace {

constexpr std::string_view kBreak = "BREAK";
// No person writes it for the text "BREAK"; A1111 marks the word so, and brackets around one multiply it too.
constexpr double kBreakWeight = -1;
constexpr double kRound = 1.1, kSquare = 1 / 1.1;

bool is_word_character(char32_t c) {
  if (c == U'_') return true;
  return !is_white_space(c) && clip_class(c) != CharacterClass::symbol;
}

struct Span {
  size_t begin, end;  // bytes
};

// The first BREAK that is a word of its own, with the white space around it.
std::optional<Span> find_break(std::string_view text) {
  bool inside_word = false;
  size_t space = 0;  // where the white space before `at` begins
  for (size_t at = 0; at < text.size();) {
    if (!inside_word && text.substr(at).starts_with(kBreak)) {
      size_t end = at + kBreak.size();
      if (end == text.size() || !is_word_character(first_code_point(text.substr(end)).value)) {
        while (end < text.size() && is_white_space(first_code_point(text.substr(end)).value))
          end += first_code_point(text.substr(end)).bytes;
        return Span{space, end};
      }
    }
    const CodePoint next = first_code_point(text.substr(at));
    at += next.bytes;
    inside_word = is_word_character(next.value);
    if (!is_white_space(next.value)) space = at;
  }
  return std::nullopt;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<WeightedPrompt> parse() {
    while (at_ < text_.size()) at_ += read();
    while (!round_.empty()) close(round_, kRound);
    while (!square_.empty()) close(square_, kSquare);
    return merged();
  }

 private:
  struct Bracket {
    size_t part, at;  // the first part inside, the byte
  };

  // Reads what stands next; returns its length.
  size_t read() {
    const std::string_view rest = text_.substr(at_);
    switch (rest.front()) {
      case '\\': {
        const bool escapes = rest.size() > 1 && std::string_view("()[]\\").find(rest[1]) != rest.npos;
        parts_.push_back({std::string(rest.substr(1, escapes)), 1});
        return escapes ? 2 : 1;
      }
      case '(':
        round_.push_back({parts_.size(), at_});
        return 1;
      case '[':
        square_.push_back({parts_.size(), at_});
        return 1;
      case ')':
        round_.empty() ? literal(")") : close(round_, kRound);
        return 1;
      case ']':
        if (!square_.empty()) refuse_editing(text_.substr(square_.back().at, at_ + 1 - square_.back().at));
        square_.empty() ? literal("]") : close(square_, kSquare);
        return 1;
      case ':': {
        const size_t end = rest.find(')');
        if (const auto weight = end == rest.npos || round_.empty()
                                    ? std::nullopt
                                    : parse_weight(trimmed(rest.substr(1, end - 1)))) {
          close(round_, *weight);
          return end + 1;
        }
        literal(":");
        return 1;
      }
      default: {
        const std::string_view run = rest.substr(0, rest.find_first_of("\\()[]:"));
        literal(run);
        return run.size();
      }
    }
  }

  void literal(std::string_view text) {
    while (const auto found = find_break(text)) {
      parts_.push_back({std::string(text.substr(0, found->begin)), 1});
      parts_.push_back({std::string(kBreak), kBreakWeight});
      text.remove_prefix(found->end);
    }
    parts_.push_back({std::string(text), 1});
  }

  void close(std::vector<Bracket>& open, double factor) {
    for (size_t i = open.back().part; i < parts_.size(); ++i) parts_[i].weight *= factor;
    open.pop_back();
  }

  // `bracket` is "[...]".
  static void refuse_editing(std::string_view bracket) {
    const std::string_view inside = bracket.substr(1, bracket.size() - 2);
    const size_t colon = inside.rfind(':');
    const bool scheduled = colon != inside.npos && parse_weight(trimmed(inside.substr(colon + 1)));
    if (scheduled || inside.find('|') != inside.npos)
      throw UsageError(
          "'" + std::string(bracket) +
          "' would change the prompt from step to step, which darkroom does not do; write \\[ for a "
          "bracket that is text");
  }

  std::vector<WeightedPrompt> merged() const {
    std::vector<WeightedPrompt> result;
    for (const WeightedPrompt& part : parts_) {
      if (!result.empty() && result.back().weight == part.weight) {
        result.back().text += part.text;
      } else {
        result.push_back(part);
      }
    }
    if (result.empty()) result.push_back({"", 1});
    return result;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<WeightedPrompt> parts_;
  std::vector<Bracket> round_, square_;
};

}  // namespace

std::vector<WeightedPrompt> parse_attention(std::string_view prompt) { return Parser(prompt).parse(); }

bool is_break(const WeightedPrompt& part) { return part.text == kBreak && part.weight == kBreakWeight; }

}  // namespace darkroom
