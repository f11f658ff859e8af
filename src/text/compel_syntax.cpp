#include "text/compel_syntax.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <ranges>
#include <span>
#include <string>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v", kSyntax = "()\",.+-=";
constexpr double kPlus = 1.1, kMinus = 0.9;
constexpr int kDeepest = 100;  // brackets in each other; deeper ones are text

bool is_one_of(std::string_view characters, char c) { return characters.find(c) != characters.npos; }

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (size_t at = text.find(from); at != text.npos; at = text.find(from)) {
    result.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return result.append(text);
}

std::string unescaped(std::string_view text) {
  return replaced(replaced(replaced(text, "\\(", "("), "\\)", ")"), "\\\"", "\"");
}

struct Piece {
  std::string text;
  std::vector<double> factors = {};  ///< the innermost first
};

struct Match {
  std::vector<Piece> pieces;
  size_t end;
};

/// A parsing expression grammar (Ford 2004): each rule takes what fits first, from white space on, or fails.
class Grammar {
 public:
  Grammar(std::string_view text, int depth) : text_(text), depth_(depth) {}

  std::vector<Piece> prompt() {
    std::vector<Piece> pieces;
    for (size_t at = behind_space(0); at < text_.size(); at = behind_space(at)) {
      std::optional<Match> match = attention(at);
      if (!match) match = quoted(at);
      if (!match) match = bracketed(at);
      if (!match) match = free_word(at);
      append(pieces, *match);
      at = match->end;
    }
    return pieces;
  }

  // What may stand in brackets or quotes.
  Match content(size_t at) {
    Match all{{}, at};
    while (auto match = element(all.end)) {
      append(all.pieces, *match);
      all.end = match->end;
    }
    return all;
  }

  size_t behind_space(size_t at) const {
    while (at < text_.size() && is_one_of(kSpace, text_[at])) ++at;
    return at;
  }

 private:
  using Known = std::map<size_t, std::optional<Match>>;

  static void append(std::vector<Piece>& pieces, const Match& match) {
    pieces.insert(pieces.end(), match.pieces.begin(), match.pieces.end());
  }

  bool has(size_t at, std::string_view literal) const { return text_.substr(at).starts_with(literal); }

  std::optional<Match> element(size_t at) {
    if (auto match = attention(at)) return match;
    if (auto match = bracketed(at)) return match;
    if (auto match = quoted(at)) return match;
    if (auto match = word(at)) return match;
    at = behind_space(at);
    if (has(at, ",") || has(at, ".")) return Match{{{std::string(text_.substr(at, 1))}}, at + 1};
    return std::nullopt;
  }

  std::optional<Match> attention(size_t at) {
    std::optional<Match> grouped = quoted(at);
    if (!grouped) grouped = bracketed(at);
    const bool is_grouped = grouped.has_value();
    std::optional<Match> target = is_grouped ? std::move(grouped) : word(at);
    if (!target) return std::nullopt;
    if (const auto end = attended(*target)) return weighed(std::move(*target), *end);
    if (const auto end = weight(target->end, is_grouped)) return weighed(std::move(*target), *end);
    return std::nullopt;
  }

  struct Weight {
    double factor;
    size_t end;
  };

  static Match weighed(Match match, const Weight& weight) {
    for (Piece& piece : match.pieces) piece.factors.push_back(weight.factor);
    match.end = weight.end;
    return match;
  }

  // ".attend(1.2)"
  std::optional<Weight> attended(const Match& target) const {
    constexpr std::string_view kName = ".attend";
    size_t at = behind_space(target.end);
    if (!has(at, kName)) return std::nullopt;
    at = behind_space(at + kName.size());
    if (!has(at, "(")) return std::nullopt;
    auto found = weight(behind_space(at + 1), true);
    if (!found || !has(behind_space(found->end), ")")) return std::nullopt;
    found->end = behind_space(found->end) + 1;
    return found;
  }

  // "++", "--", or a number.
  std::optional<Weight> weight(size_t at, bool numbers) const {
    for (const auto& [sign, base] : {std::pair('+', kPlus), {'-', kMinus}}) {
      const size_t end = std::min(text_.find_first_not_of(sign, at), text_.size());
      if (end > at) return Weight{std::pow(base, static_cast<double>(end - at)), end};
    }
    if (!numbers) return std::nullopt;
    const auto digits = [&](size_t from) {
      return std::min(text_.find_first_not_of("0123456789", from), text_.size());
    };
    size_t end = digits(at);
    if (has(end, ".") && (end > at || digits(end + 1) > end + 1)) end = digits(end + 1);
    double number = 0;
    if (end == at || std::from_chars(text_.data() + at, text_.data() + end, number).ec != std::errc())
      return std::nullopt;
    return Weight{number, end};
  }

  std::optional<Match> bracketed(size_t at) {
    at = behind_space(at);
    if (!has(at, "(") || depth_ >= kDeepest) return std::nullopt;
    // Each of several rules asks again, for each of them the brackets inside.
    if (const auto known = bracketed_.find(at); known != bracketed_.end()) return known->second;
    ++depth_;
    std::optional<Match> match = content(at + 1);
    --depth_;
    match->end = behind_space(match->end);
    if (has(match->end, ")")) {
      ++match->end;
    } else {
      match.reset();
    }
    return bracketed_[at] = match;
  }

  std::optional<Match> quoted(size_t at) {
    at = behind_space(at);
    if (!has(at, "\"")) return std::nullopt;
    if (const auto known = quoted_.find(at); known != quoted_.end()) return known->second;
    const size_t end = closing_quote(at + 1);
    return quoted_[at] =
               end == text_.npos ? std::nullopt : in_quotes(text_.substr(at + 1, end - at - 1), end + 1);
  }

  // The first quote on the line without a backslash or, if all have one, the last.
  size_t closing_quote(size_t at) const {
    size_t last = text_.npos;
    for (; at < text_.size() && text_[at] != '\n' && text_[at] != '\r'; ++at) {
      if (text_[at] == '"') return at;
      if (has(at, "\\\"")) last = ++at;
    }
    return last;
  }

  std::optional<Match> in_quotes(std::string_view text, size_t end) const {
    if (text.find_first_not_of(kSpace) == text.npos) return Match{{{""}}, end};
    const std::string inside = replaced(replaced(text, "\\\"", "\""), "\"", "\\\"");
    Grammar grammar(inside, depth_ + 1);
    const Match match = grammar.content(0);
    if (grammar.behind_space(match.end) < inside.size()) return std::nullopt;
    return Match{match.pieces, end};
  }

  // A run without syntax; + and - may begin it or stand inside.
  std::optional<Match> word(size_t at) const {
    at = behind_space(at);
    size_t end = at;
    while (end < text_.size()) {
      const char c = text_[end];
      const bool last = end + 1 == text_.size();
      if (c == '\\' && !last && is_one_of(kSyntax, text_[end + 1])) {
        end += 2;
      } else if (c == '+' || c == '-') {
        if (last || is_one_of(kSpace, text_[end + 1]) || is_one_of(kSyntax, text_[end + 1])) break;
        ++end;
      } else if (is_one_of(kSpace, c) || is_one_of(kSyntax, c)) {
        break;
      } else {
        ++end;
      }
    }
    if (end == at) return std::nullopt;
    return Match{{{unescaped(text_.substr(at, end - at))}}, end};
  }

  std::optional<Match> free_word(size_t at) const {
    const size_t end = std::min(text_.find_first_of(kSpace, at), text_.size());
    return Match{{{unescaped(text_.substr(at, end - at))}}, end};
  }

  std::string_view text_;
  int depth_;
  Known bracketed_, quoted_;
};

// Where `name` is called: "name (".
size_t find_call(std::string_view text, std::string_view name) {
  for (size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    const size_t next = text.find_first_not_of(kSpace, at + name.size());
    if (next != text.npos && text[next] == '(') return at;
  }
  return text.npos;
}

void refuse_unknown(std::string_view text) {
  for (const std::string_view name : {".blend", ".and", ".add", ".swap", "useLora", "withLora"}) {
    const size_t at = find_call(text, name);
    if (at == text.npos) continue;
    const size_t target = at == 0 ? text.npos : text.find_last_not_of(kSpace, at - 1);
    if (name.front() == '.' && (target == text.npos || (name != ".swap" && text[target] != ')'))) continue;
    throw UsageError("'" + std::string(name) + "(...)' of compel is not known to darkroom");
  }
}

// compel writes a space behind each comma that has none; of two commas in a row, behind the first only.
std::string with_spaced_commas(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    result += text[at];
    if (text[at] != ',' || at + 1 == text.size() || is_one_of(kSpace, text[at + 1])) continue;
    result += ' ';
    result += text[++at];
  }
  return result;
}

double weight_of(const Piece& piece) {
  double weight = 1;
  for (const double factor : std::views::reverse(piece.factors)) weight *= factor;
  return weight;
}

// compel takes backslashes away whenever it copies a piece: after parsing once more, and as often as others
// are joined to it. This matters for several backslashes in a row.
std::string joined(std::span<const Piece> pieces) {
  std::string text;
  for (size_t i = 0; i < pieces.size(); ++i) {
    std::string piece = pieces[i].text;
    for (size_t copies = pieces.size() + 1 - std::max<size_t>(i, 1); copies > 0; --copies) {
      std::string copy = unescaped(piece);
      if (copy == piece) break;
      piece = std::move(copy);
    }
    text.append(i == 0 ? "" : " ").append(piece);
  }
  return text;
}

}  // namespace

std::vector<WeightedPrompt> parse_compel(std::string_view prompt) {
  const std::string text = with_spaced_commas(prompt);
  refuse_unknown(text);
  std::vector<WeightedPrompt> parts;
  const std::vector<Piece> pieces = Grammar(text, 0).prompt();
  for (size_t i = 0; i < pieces.size();) {
    const double weight = weight_of(pieces[i]);
    const size_t first = i;
    while (i < pieces.size() && weight_of(pieces[i]) == weight) ++i;
    parts.push_back({joined({pieces.begin() + static_cast<std::ptrdiff_t>(first), i - first}), weight});
  }
  if (parts.empty()) parts.push_back({"", 1});
  return parts;
}

}  // namespace darkroom
