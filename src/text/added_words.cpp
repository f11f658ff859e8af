#include "text/added_words.h"

#include <algorithm>
#include <optional>

#include "darkroom/text/utf8.h"
#include "text/clip_characters.h"
#include "text/code_point.h"

namespace darkroom {
namespace {

bool is_letter(char32_t code_point) { return clip_class(code_point) == CharacterClass::letter; }

// Adds the code point that `text` begins with to the word's, if it is the next; returns its length, else 0.
size_t agreeing(std::string_view text, std::string_view& word) {
  if (text.empty()) return 0;
  const size_t bytes = first_code_point(text).bytes;
  const std::string same = bytes == 1
                               ? std::string(1, text[0] >= 'A' && text[0] <= 'Z' ? text[0] + 32 : text[0])
                               : clip_normalize(text.substr(0, bytes));
  if (!word.starts_with(same)) return 0;
  word.remove_prefix(same.size());
  return bytes;
}

/// Finds words in text (valid UTF-8).
class Finder {
 public:
  explicit Finder(const std::vector<AddedWord>& words) {
    for (size_t i = 0; i < words.size(); ++i)
      for (const std::string& spelling : words[i].spellings)
        if (std::string same = same_spelling(spelling); !same.empty())
          spellings_.push_back({std::move(same), i});
    std::ranges::stable_sort(spellings_, std::ranges::greater(),
                             [](const Spelling& spelling) { return spelling.text.size(); });
  }

  struct Match {
    size_t begin, end, word;
  };

  std::optional<Match> first_in(std::string_view text, size_t from) const {
    char32_t before = ' ';
    for (size_t at = from; at < text.size();) {
      for (const Spelling& spelling : spellings_)
        if (const size_t bytes = match(spelling.text, text.substr(at), before); bytes > 0)
          return Match{at, at + bytes, spelling.word};
      const CodePoint code_point = first_code_point(text.substr(at));
      before = code_point.value;
      at += code_point.bytes;
    }
    return std::nullopt;
  }

 private:
  struct Spelling {
    std::string text;
    size_t word;
  };

  // How many bytes at the beginning of the text are the word; 0: it is another, or part of a longer one.
  static size_t match(std::string_view word, std::string_view text, char32_t before) {
    if (is_letter(before) && is_letter(first_code_point(word).value)) return 0;
    size_t at = 0;
    char32_t last = ' ';
    while (!word.empty()) {
      const size_t bytes = agreeing(text.substr(at), word);
      if (bytes == 0) return 0;
      last = first_code_point(text.substr(at)).value;
      at += bytes;
    }
    const bool goes_on =
        at < text.size() && is_letter(last) && is_letter(first_code_point(text.substr(at)).value);
    return goes_on ? 0 : at;
  }

  std::vector<Spelling> spellings_;  ///< the longest first
};

class WithAddedWords : public Tokenizer {
 public:
  WithAddedWords(const Tokenizer& tokenizer, std::vector<AddedWord> words)
      : tokenizer_(tokenizer), words_(std::move(words)), finder_(words_) {}

  std::vector<int64_t> tokenize(std::string_view bytes, Diagnostics& diagnostics,
                                std::string_view place) const override {
    const std::string text = valid_utf8(bytes, diagnostics, place);
    std::vector<int64_t> ids;
    const auto append_text = [&](size_t begin, size_t end) {
      const auto more = tokenizer_.tokenize(text.substr(begin, end - begin), diagnostics, place);
      ids.insert(ids.end(), more.begin(), more.end());
    };
    size_t at = 0;
    while (const auto match = finder_.first_in(text, at)) {
      append_text(at, match->begin);
      const AddedWord& word = words_[match->word];
      for (size_t i = 0; i < word.count; ++i) ids.push_back(word.first_id + static_cast<int64_t>(i));
      at = match->end;
    }
    append_text(at, text.size());
    return ids;
  }

  std::vector<int64_t> framed(const std::vector<int64_t>& ids) const override {
    return tokenizer_.framed(ids);
  }
  size_t room() const override { return tokenizer_.room(); }
  int64_t length() const override { return tokenizer_.length(); }

  // As in compel, which looks for the mark that only words of the vocabulary end with.
  bool ends_word(int64_t id) const override { return !word_of(id) && tokenizer_.ends_word(id); }

  size_t together(int64_t id) const override {
    const AddedWord* word = word_of(id);
    return word && word->first_id == id ? word->count : 1;
  }

 private:
  const AddedWord* word_of(int64_t id) const {
    const auto found = std::ranges::find_if(words_, [&](const AddedWord& word) {
      return id >= word.first_id && id < word.first_id + static_cast<int64_t>(word.count);
    });
    return found == words_.end() ? nullptr : &*found;
  }

  const Tokenizer& tokenizer_;
  std::vector<AddedWord> words_;
  Finder finder_;
};

}  // namespace

std::string same_spelling(const std::string& word) {
  Silent silent;  // of a file's name, which may be in any encoding
  return clip_normalize(valid_utf8(word, silent, ""));
}

bool holds_word(std::string_view text, const std::vector<std::string>& spellings) {
  return Finder({{spellings, 0, 1}}).first_in(text, 0).has_value();
}

std::unique_ptr<Tokenizer> with_added_words(const Tokenizer& tokenizer, std::vector<AddedWord> words) {
  return std::make_unique<WithAddedWords>(tokenizer, std::move(words));
}

}  // namespace darkroom
