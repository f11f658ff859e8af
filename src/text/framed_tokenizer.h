#pragma once

#include <optional>

#include "darkroom/text/tokenizer.h"

namespace darkroom {

/// What the tokenizers share: making the text valid, framing and padding its ids. A kind of
/// tokenizer says only how valid text becomes ids.
class FramedTokenizer : public Tokenizer {
 public:
  struct Frame {
    std::optional<int64_t> begin;
    int64_t end;
    int64_t padding;
    int64_t length;
  };

  /// Throws ModelError if the frame leaves no room for a token of the text.
  explicit FramedTokenizer(const Frame& frame);

  std::vector<int64_t> tokenize(std::string_view text, Diagnostics& diagnostics,
                                std::string_view place) const final;
  std::vector<int64_t> framed(const std::vector<int64_t>& ids) const final;
  size_t room() const final { return static_cast<size_t>(frame_.length) - (frame_.begin ? 2 : 1); }
  int64_t length() const final { return frame_.length; }

 protected:
  /// Ids of valid UTF-8.
  virtual std::vector<int64_t> ids_of(std::string_view text) const = 0;

 private:
  Frame frame_;
};

}  // namespace darkroom
