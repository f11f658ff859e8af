#include "text/chunks.h"

#include <algorithm>
#include <functional>
#include <string>

#include "text/attention.h"
#include "text/lost_words.h"

namespace darkroom {
namespace {

using Ids = std::vector<int64_t>;

constexpr size_t kCommaReach = 20;

/// How many ids of a full chunk stay in it when one more comes.
using Split = std::function<size_t(const Ids& full, int64_t next)>;

struct Builder {
  const Tokenizer& tokenizer;
  Chunking chunking;
  Split split;
  std::vector<Chunk> chunks = {};
  Ids ids = {};  ///< of the chunk being filled
  std::vector<int> parts = {};

  void add(int64_t id, int part) {
    if (ids.size() == tokenizer.room()) close_after(split(ids, id));
    if (chunking == Chunking::commas && ids.size() + tokenizer.together(id) > tokenizer.room())
      close_after(ids.size());
    ids.push_back(id);
    parts.push_back(part);
  }

  // What stands behind `count` ids begins the next chunk.
  void close_after(size_t count) {
    const auto kept = static_cast<std::ptrdiff_t>(count);
    const Ids next_ids(ids.begin() + kept, ids.end());
    const std::vector<int> next_parts(parts.begin() + kept, parts.end());
    ids.resize(count);
    parts.resize(count);
    Chunk chunk = empty_chunk(tokenizer);
    chunk.ids = tokenizer.framed(ids);
    const size_t begin = static_cast<size_t>(tokenizer.length()) - tokenizer.room() - 1;
    std::copy(parts.begin(), parts.end(), chunk.parts.begin() + static_cast<std::ptrdiff_t>(begin));
    chunks.push_back(std::move(chunk));
    ids = next_ids;
    parts = next_parts;
  }
};

bool holds_text(const Chunk& chunk) {
  return std::ranges::any_of(chunk.parts, [](int part) { return part != Chunk::kFrame; });
}

// The ids of these characters, each a word of its own.
Ids ids_of(const Tokenizer& tokenizer, std::string_view characters, Diagnostics& diagnostics) {
  Ids all;
  for (const char character : characters) {
    const Ids ids = tokenizer.tokenize({&character, 1}, diagnostics, "");
    if (ids.size() == 1) all.push_back(ids.front());
  }
  return all;
}

// How many ids there are up to the last that fits, which is one of the last `reach`; 0: none.
template <class Fits>
size_t up_to_last(const Ids& ids, size_t reach, Fits fits) {
  for (size_t count = ids.size(); count > 0 && count + reach > ids.size(); --count)
    if (fits(ids[count - 1])) return count;
  return 0;
}

Split split_of(Chunking chunking, const Tokenizer& tokenizer, Diagnostics& diagnostics) {
  const auto ends_with = [&](std::string_view characters) {
    return [ids = ids_of(tokenizer, characters, diagnostics)](int64_t id) {
      return std::ranges::count(ids, id) > 0;
    };
  };
  if (chunking == Chunking::commas)
    return [is_comma = ends_with(",")](const Ids& full, int64_t next) {
      const size_t count = is_comma(next) ? 0 : up_to_last(full, kCommaReach, is_comma);
      return count > 0 ? count : full.size();
    };
  if (chunking == Chunking::sentences)
    return [sentence = ends_with("."), phrase = ends_with(".,;:"), &tokenizer](const Ids& full, int64_t) {
      size_t count = up_to_last(full, full.size(), sentence);
      if (count == 0) count = up_to_last(full, full.size(), phrase);
      if (count == 0)
        count = up_to_last(full, full.size(), [&](int64_t id) { return tokenizer.ends_word(id); });
      return count > 0 ? count : full.size();
    };
  return [](const Ids& full, int64_t) { return full.size(); };
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
  Builder builder{tokenizer, chunking, split_of(chunking, tokenizer, diagnostics)};
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
