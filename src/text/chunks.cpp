#include "text/chunks.h"

#include <algorithm>
#include <optional>
#include <string>

#include "text/attention.h"
#include "text/lost_words.h"

namespace darkroom {
namespace {

using Ids = std::vector<int64_t>;

constexpr size_t kCommaReach = 20;

struct Builder {
  const Tokenizer& tokenizer;
  std::optional<int64_t> comma;  ///< none: commas do not matter
  std::vector<Chunk> chunks = {};
  Ids ids = {};  ///< of the chunk being filled; the next two are about it
  std::vector<int> parts = {};
  std::optional<size_t> last_comma = {};

  void add(int64_t id, int part) {
    const bool full = ids.size() == tokenizer.room();
    if (full && id != comma && last_comma && ids.size() - *last_comma <= kCommaReach) {
      close_after(*last_comma + 1);
    } else if (full) {
      close_after(ids.size());
    }
    if (id == comma) last_comma = ids.size();
    ids.push_back(id);
    parts.push_back(part);
  }

  // What stands behind `count` ids begins the next chunk.
  void close_after(size_t count) {
    const auto split = static_cast<std::ptrdiff_t>(count);
    const Ids next_ids(ids.begin() + split, ids.end());
    const std::vector<int> next_parts(parts.begin() + split, parts.end());
    ids.resize(count);
    parts.resize(count);
    Chunk chunk = empty_chunk(tokenizer);
    chunk.ids = tokenizer.framed(ids);
    const size_t begin = static_cast<size_t>(tokenizer.length()) - tokenizer.room() - 1;
    std::copy(parts.begin(), parts.end(), chunk.parts.begin() + static_cast<std::ptrdiff_t>(begin));
    chunks.push_back(std::move(chunk));
    ids = next_ids;
    parts = next_parts;
    last_comma.reset();
  }
};

bool holds_text(const Chunk& chunk) {
  return std::ranges::any_of(chunk.parts, [](int part) { return part != Chunk::kFrame; });
}

// The id of a comma that is a word of its own.
std::optional<int64_t> comma_of(const Tokenizer& tokenizer, Diagnostics& diagnostics) {
  const Ids ids = tokenizer.tokenize(",", diagnostics, "");
  return ids.size() == 1 ? std::optional(ids.front()) : std::nullopt;
}

void warn_of_lost_words(const Tokenizer& tokenizer, const std::vector<WeightedPrompt>& parts,
                        Diagnostics& diagnostics, std::string_view place) {
  std::string text;
  for (const WeightedPrompt& part : parts) text += is_break(part) ? " " : part.text;
  const auto token_count = [&](std::string_view beginning) {
    size_t count = 0;
    for (const WeightedPrompt& part : parts) {
      if (beginning.empty()) break;
      // Behind a break all is lost.
      if (is_break(part)) return tokenizer.room() + 1;
      count += tokenizer.tokenize(beginning.substr(0, part.text.size()), diagnostics, place).size();
      beginning.remove_prefix(std::min(part.text.size(), beginning.size()));
    }
    return count;
  };
  diagnostics.warn(
      {"words_lost", describe_lost_words(text, tokenizer.room(), token_count), std::string(place)});
}

}  // namespace

Chunk empty_chunk(const Tokenizer& tokenizer) {
  return {tokenizer.framed({}), std::vector<int>(static_cast<size_t>(tokenizer.length()), Chunk::kFrame)};
}

std::vector<Chunk> make_chunks(const Tokenizer& tokenizer, const std::vector<WeightedPrompt>& parts,
                               Chunking chunking, Diagnostics& diagnostics, std::string_view place) {
  Builder builder{tokenizer, chunking == Chunking::commas ? comma_of(tokenizer, diagnostics) : std::nullopt};
  for (size_t i = 0; i < parts.size(); ++i) {
    if (is_break(parts[i])) {
      builder.close_after(builder.ids.size());
      continue;
    }
    for (const int64_t id : tokenizer.tokenize(parts[i].text, diagnostics, place))
      builder.add(id, static_cast<int>(i));
  }
  if (!builder.ids.empty() || builder.chunks.empty()) builder.close_after(builder.ids.size());
  if (chunking == Chunking::truncate) {
    const bool lost = std::any_of(builder.chunks.begin() + 1, builder.chunks.end(), holds_text);
    builder.chunks.resize(1);
    if (lost) warn_of_lost_words(tokenizer, parts, diagnostics, place);
  }
  return std::move(builder.chunks);
}

}  // namespace darkroom
