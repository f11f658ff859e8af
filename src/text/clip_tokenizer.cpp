#include <utility>

#include "darkroom/text/tokenizer.h"
#include "text/byte_pairs.h"
#include "text/clip_characters.h"
#include "text/code_point.h"
#include "text/framed_tokenizer.h"

namespace darkroom {
namespace {

constexpr std::string_view kBegin = "<|startoftext|>", kEnd = "<|endoftext|>", kZero = "!";

// The length of the pre-token that `text` (normalised, without white space) begins with: the first match of
//   's|'t|'re|'ve|'m|'ll|'d | \p{L}+ | \p{N} | [^\s\p{L}\p{N}]+
size_t pre_token(std::string_view text) {
  for (const std::string_view contraction : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(contraction)) return contraction.size();
  }
  const CodePoint first = first_code_point(text);
  const CharacterClass kind = clip_class(first.value);
  size_t length = first.bytes;
  if (kind == CharacterClass::number) return length;
  while (length < text.size()) {
    const CodePoint next = first_code_point(text.substr(length));
    if (clip_class(next.value) != kind) break;
    length += next.bytes;
  }
  return length;
}

class ClipTokenizer : public FramedTokenizer {
 public:
  ClipTokenizer(BytePairs pairs, Padding padding, int64_t length)
      : FramedTokenizer({.begin = pairs.size(),
                         .end = pairs.size() + 1,
                         .padding = padding == Padding::zero ? 0 : pairs.size() + 1,
                         .length = length}),
        specials_{{kBegin, pairs.size()}, {kEnd, pairs.size() + 1}},
        pairs_(std::move(pairs)) {
    if (padding == Padding::zero) specials_.push_back({kZero, 0});
  }

  bool ends_word(int64_t id) const override { return id < pairs_.size() && pairs_.ends_word(id); }

 protected:
  std::vector<int64_t> ids_of(std::string_view text) const override {
    std::vector<int64_t> ids;
    size_t run = 0;  // where the ordinary text before `at` begins
    for (size_t at = 0; at < text.size();) {
      const Special* special = special_at(text.substr(at));
      if (special == nullptr) {
        ++at;
        continue;
      }
      append_ordinary(text.substr(run, at - run), ids);
      ids.push_back(special->id);
      at += special->text.size();
      run = at;
    }
    append_ordinary(text.substr(run), ids);
    return ids;
  }

 private:
  struct Special {
    std::string_view text;
    int64_t id;
  };

  // Special tokens are looked for in the text as it was written, before anything is normalised.
  const Special* special_at(std::string_view text) const {
    for (const Special& special : specials_) {
      if (text.starts_with(special.text)) return &special;
    }
    return nullptr;
  }

  // White space only separates: no pre-token holds any, no composition crosses it. So each run between is
  // normalised alone.
  void append_ordinary(std::string_view text, std::vector<int64_t>& ids) const {
    size_t run = 0;
    for (size_t at = 0; at < text.size();) {
      const CodePoint code_point = first_code_point(text.substr(at));
      if (is_white_space(code_point.value)) {
        append_run(clip_normalize(text.substr(run, at - run)), ids);
        run = at + code_point.bytes;
      }
      at += code_point.bytes;
    }
    append_run(clip_normalize(text.substr(run)), ids);
  }

  void append_run(std::string_view run, std::vector<int64_t>& ids) const {
    while (!run.empty()) {
      // A special token that normalising made ("<|ENDOFTEXT|>") is text, in three pieces: CLIP's expression
      // keeps it whole, then the byte-level step of tokenizers splits it like any other text.
      if (run.starts_with(kBegin) || run.starts_with(kEnd)) {
        const size_t name = run.find('|', 2) - 2;
        pairs_.encode(run.substr(0, 2), ids);
        pairs_.encode(run.substr(2, name), ids);
        pairs_.encode(run.substr(2 + name, 2), ids);
        run.remove_prefix(name + 4);
        continue;
      }
      const size_t length = pre_token(run);
      pairs_.encode(run.substr(0, length), ids);
      run.remove_prefix(length);
    }
  }

  std::vector<Special> specials_;
  BytePairs pairs_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_clip_tokenizer(const std::filesystem::path& merges, Padding padding,
                                               int64_t length) {
  return std::make_unique<ClipTokenizer>(BytePairs(merges), padding, length);
}

}  // namespace darkroom
