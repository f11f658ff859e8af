#include "text/byte_pairs.h"

#include <array>
#include <fstream>
#include <functional>
#include <queue>
#include <string>

#include "darkroom/base/error.h"
#include "text/code_point.h"

namespace darkroom {
namespace {

constexpr std::string_view kEndOfWord = "</w>";

// OpenAI's file holds more rules than the vocabulary has; HF's merges.txt ends where the vocabulary does.
constexpr std::string_view kOpenAiHeader = "\"bpe_simple_vocab_16e6.txt";
constexpr size_t kOpenAiRules = 48894;

// The id of each byte: the printable bytes of Latin-1 come first, then the others.
std::array<int32_t, 256> byte_ids() {
  const auto printable = [](int byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  };
  std::array<int32_t, 256> ids{};
  int32_t next = 0;
  for (const bool wanted : {true, false}) {
    for (int byte = 0; byte < 256; ++byte) {
      if (printable(byte) == wanted) ids[byte] = next++;
    }
  }
  return ids;
}

// The single-byte symbols as the merges file spells them: a printable byte as the Latin-1 character, the
// others as U+0100 and up.
std::unordered_map<std::string, int32_t> byte_symbols() {
  const std::array<int32_t, 256> ids = byte_ids();
  std::unordered_map<std::string, int32_t> symbols;
  char32_t next_other = 0x100;
  const int32_t printable = ids[0];
  for (int byte = 0; byte < 256; ++byte) {
    std::string symbol;
    append_utf8(ids[byte] < printable ? static_cast<char32_t>(byte) : next_other++, symbol);
    symbols[symbol] = ids[byte];
    symbols[symbol.append(kEndOfWord)] = 256 + ids[byte];
  }
  return symbols;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

BytePairs::BytePairs(const std::filesystem::path& merges) {
  std::ifstream file(merges);
  std::string line;
  if (!std::getline(file, line)) throw ModelError(merges.string() + ": cannot be read, or is empty");
  if (line.find("#version") == std::string::npos) {
    throw ModelError(merges.string() + ":1: not a list of merge rules: it begins with no #version line");
  }
  const size_t rules = line.starts_with(kOpenAiHeader) ? kOpenAiRules : SIZE_MAX;

  std::unordered_map<std::string, int32_t> symbols = byte_symbols();
  symbols.reserve(kBytes + kOpenAiRules);
  merged_.reserve(kOpenAiRules);
  ends_word_.assign(kBytes / 2, false);
  ends_word_.resize(kBytes, true);
  while (merged_.size() < rules && std::getline(file, line)) {
    const auto fail = [&](const std::string& cause) {
      throw ModelError(merges.string() + ":" + std::to_string(merged_.size() + 2) + ": \"" + line + "\" " +
                       cause);
    };
    const size_t space = line.find(' ');
    if (space == std::string::npos) fail("is no pair of symbols");
    const auto left = symbols.find(line.substr(0, space));
    const auto right = symbols.find(line.substr(space + 1));
    if (left == symbols.end() || right == symbols.end()) fail("uses a symbol that no earlier rule makes");
    const auto id = static_cast<int32_t>(size());
    merged_[pair_key(left->second, right->second)] = id;
    ends_word_.push_back(ends_word(right->second));
    if (!symbols.emplace(left->first + right->first, id).second) fail("makes a symbol that exists already");
  }
  if (merged_.empty()) throw ModelError(merges.string() + ": holds no merge rule");
}

void BytePairs::encode(std::string_view word, std::vector<int64_t>& ids) const {
  static const std::array<int32_t, 256> kByteIds = byte_ids();
  // A list in one array, merged in place: `next` skips what a merge swallowed. The queue holds the pairs that
  // a rule applies to, earliest rule first, then leftmost; that keeps a word of a megabyte at n log n.
  struct Symbol {
    int32_t id;
    int32_t previous, next;
  };
  struct Candidate {
    int32_t merged;
    int32_t left;
    uint64_t pair;  // what stood there; since swallowed or changed, the candidate is stale
    bool operator>(const Candidate& other) const {
      return merged != other.merged ? merged > other.merged : left > other.left;
    }
  };
  std::vector<Symbol> symbols;
  const auto count = static_cast<int32_t>(word.size());
  symbols.reserve(word.size());
  for (int32_t i = 0; i < count; ++i) {
    const int32_t end_of_word = i + 1 == count ? 256 : 0;
    symbols.push_back({kByteIds[static_cast<uint8_t>(word[i])] + end_of_word, i - 1, i + 1});
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto pair_at = [&](int32_t left) {
    return pair_key(symbols[left].id, symbols[symbols[left].next].id);
  };
  const auto consider = [&](int32_t left) {
    if (left < 0 || symbols[left].next == count) return;
    const auto rule = merged_.find(pair_at(left));
    if (rule != merged_.end()) candidates.push({rule->second, left, rule->first});
  };
  for (int32_t i = 0; i < count; ++i) consider(i);

  constexpr int32_t kSwallowed = -1;
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbols[best.left];
    if (left.id == kSwallowed || left.next == count || pair_at(best.left) != best.pair) continue;
    Symbol& right = symbols[left.next];
    left.id = best.merged;
    left.next = right.next;
    right.id = kSwallowed;
    if (left.next < count) symbols[left.next].previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (int32_t i = 0; i < count; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace darkroom
