#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/base/diagnostics.h"

namespace darkroom {

/// What fills a sequence after its end token.
enum class Padding {
  end,   ///< the end token itself (Stable Diffusion 1, first tokenizer of SDXL)
  zero,  ///< id 0; for CLIP this is "!", which then counts as a special token wherever it stands (Stable
         ///< Diffusion 2)
};

/// Turns a prompt into the ids a text encoder expects. Thread-safe after construction; never throws on any
/// bytes: invalid UTF-8 becomes U+FFFD and a warning of kind "invalid_utf8".
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of the text alone: no begin or end token, no padding, no truncation.
  virtual std::vector<int64_t> tokenize(std::string_view text, Diagnostics& diagnostics,
                                        std::string_view place) const = 0;

  /// Exactly length() ids: the begin token if there is one, at most room() ids of a text, the end token,
  /// padding.
  virtual std::vector<int64_t> framed(const std::vector<int64_t>& ids) const = 0;

  /// How many ids of a text fit between the begin and the end token.
  virtual size_t room() const = 0;

  /// Whether a word ends with this id of a text.
  virtual bool ends_word(int64_t id) const = 0;

  /// How many ids from this one on are a word that should not be parted.
  virtual size_t together(int64_t) const { return 1; }

  virtual int64_t length() const = 0;
};

/// CLIP's byte-pair encoding as transformers 5 does it (tokenizers-backed CLIPTokenizer: NFC, white space
/// folded, lower case per code point). `merges` is a file of merge rules, one pair a line after a header line
/// (merges.txt of a diffusers folder, or OpenAI's bpe_simple_vocab_16e6.txt unpacked); ids follow from the
/// order of the rules. Throws ModelError if the file is missing or is no list of merges.
std::unique_ptr<Tokenizer> make_clip_tokenizer(const std::filesystem::path& merges, Padding padding,
                                               int64_t length = 77);

/// A sentencepiece model used as T5 uses it: no begin token, end token </s>, padding <pad>. Special tokens
/// spelled out in the text are text, as in sentencepiece (transformers gives them their ids). Throws
/// ModelError if the file is missing, is no sentencepiece model, or has no end or padding token.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::filesystem::path& model, int64_t length);

}  // namespace darkroom
