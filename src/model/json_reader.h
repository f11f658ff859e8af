#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace darkroom {

/// One JSON object, read key by key. Every fault is a ModelError that names the file and the whole path of
/// the key; finish() makes a key that nobody read a fault too.
class JsonReader {
 public:
  JsonReader(const nlohmann::json& object, std::string file, std::string path = "");

  bool has(const char* key) const { return object_.contains(key); }
  std::string text(const char* key);
  int64_t integer(const char* key, int64_t low, int64_t high);
  double number(const char* key);
  double positive(const char* key);  ///< above 0
  bool boolean(const char* key);
  std::string one_of(const char* key, const std::vector<std::string>& allowed);
  std::vector<std::string> texts(const char* key);
  std::vector<std::string> text_or_texts(const char* key);  ///< a string stands for a list of it alone
  std::vector<double> numbers(const char* key);
  JsonReader object(const char* key);
  std::vector<JsonReader> objects(const char* key);
  /// The members of an object whose keys are names: "networks", "tokenizers".
  std::vector<std::pair<std::string, JsonReader>> named_objects(const char* key);
  void finish() const;

  /// ModelError: "FILE: KEY WHAT".
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;

 private:
  const nlohmann::json& value(const char* key);
  std::string full_name(const std::string& key) const;

  const nlohmann::json& object_;
  std::string file_, path_;
  std::set<std::string> read_;
};

}  // namespace darkroom
