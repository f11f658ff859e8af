#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace darkroom {

/// CLIP's byte-pair vocabulary (Radford et al., openai/CLIP simple_tokenizer). Ids: 256 bytes, in an order of
/// their own; the same 256 as the last byte of a word; then one id per merge rule, in the order of the file.
class BytePairs {
 public:
  /// Throws ModelError naming file and line if `merges` cannot be read or a line is no merge rule.
  explicit BytePairs(const std::filesystem::path& merges);

  /// Appends the ids of a word: its bytes, merged until no rule applies, the earliest rule of the file first.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

  /// Whether a word ends with this id.
  bool ends_word(int64_t id) const { return ends_word_.at(static_cast<size_t>(id)); }

  int64_t size() const { return kBytes + static_cast<int64_t>(merged_.size()); }

 private:
  static constexpr int64_t kBytes = 512;

  std::unordered_map<uint64_t, int32_t> merged_;  // two ids side by side -> the id that replaces them
  std::vector<bool> ends_word_;                   // by id
};

}  // namespace darkroom
