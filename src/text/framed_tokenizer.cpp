#include "text/framed_tokenizer.h"

#include "darkroom/base/error.h"
#include "darkroom/text/utf8.h"
#include "text/lost_words.h"

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

std::vector<int64_t> FramedTokenizer::encode(std::string_view text, Diagnostics& diagnostics,
                                             std::string_view place) const {
  const std::string valid = valid_utf8(text, diagnostics, place);
  std::vector<int64_t> content = ids_of(valid);
  const auto limit = static_cast<size_t>(frame_.length) - (frame_.begin ? 2 : 1);
  if (content.size() > limit) {
    const auto token_count = [this](std::string_view part) { return ids_of(part).size(); };
    diagnostics.warn({"words_lost", describe_lost_words(valid, limit, token_count), std::string(place)});
    content.resize(limit);
  }
  std::vector<int64_t> ids;
  ids.reserve(static_cast<size_t>(frame_.length));
  if (frame_.begin) ids.push_back(*frame_.begin);
  ids.insert(ids.end(), content.begin(), content.end());
  ids.push_back(frame_.end);
  ids.resize(static_cast<size_t>(frame_.length), frame_.padding);
  return ids;
}

}  // namespace darkroom
