#include "text/framed_tokenizer.h"

#include "darkroom/base/error.h"
#include "darkroom/text/utf8.h"

namespace darkroom {

FramedTokenizer::FramedTokenizer(const Frame& frame) : frame_(frame) {
  if (frame.length < (frame.begin ? 3 : 2)) {
    throw ModelError("tokenizer length " + std::to_string(frame.length) + " leaves no room for a word");
  }
}

std::vector<int64_t> FramedTokenizer::tokenize(std::string_view text, Diagnostics& diagnostics,
                                               std::string_view place) const {
  return ids_of(valid_utf8(text, diagnostics, place));
}

std::vector<int64_t> FramedTokenizer::framed(const std::vector<int64_t>& text) const {
  std::vector<int64_t> ids;
  ids.reserve(static_cast<size_t>(frame_.length));
  if (frame_.begin) ids.push_back(*frame_.begin);
  ids.insert(ids.end(), text.begin(), text.end());
  ids.push_back(frame_.end);
  ids.resize(static_cast<size_t>(frame_.length), frame_.padding);
  return ids;
}

}  // namespace darkroom
