#include "model/json_reader.h"

#include <algorithm>
#include <cmath>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {

using nlohmann::json;

JsonReader::JsonReader(const json& object, std::string file, std::string path)
    : object_(object), file_(std::move(file)), path_(std::move(path)) {
  if (!object_.is_object())
    throw ModelError(file_ + ": " + (path_.empty() ? "the file" : path_) + " is no object");
}

std::string JsonReader::full_name(const std::string& key) const {
  return path_.empty() ? key : path_ + "." + key;
}

void JsonReader::fail(const std::string& key, const std::string& what) const {
  throw ModelError(file_ + ": " + full_name(key) + " " + what);
}

const json& JsonReader::value(const char* key) {
  const auto found = object_.find(key);
  if (found == object_.end()) fail(key, "is missing");
  read_.insert(key);
  return *found;
}

std::string JsonReader::text(const char* key) {
  const json& v = value(key);
  if (!v.is_string()) fail(key, "is " + v.dump() + "; a string is needed");
  return v.get<std::string>();
}

int64_t JsonReader::integer(const char* key, int64_t low, int64_t high) {
  const json& v = value(key);
  const bool fits = v.is_number_integer() && !(v.is_number_unsigned() && v.get<uint64_t>() > INT64_MAX);
  if (!fits || v.get<int64_t>() < low || v.get<int64_t>() > high)
    fail(key, "is " + v.dump() + "; a whole number from " + std::to_string(low) + " to " +
                  std::to_string(high) + " is needed");
  return v.get<int64_t>();
}

double JsonReader::number(const char* key) {
  const json& v = value(key);
  if (!v.is_number() || !std::isfinite(v.get<double>())) fail(key, "is " + v.dump() + "; a number is needed");
  return v.get<double>();
}

bool JsonReader::boolean(const char* key) {
  const json& v = value(key);
  if (!v.is_boolean()) fail(key, "is " + v.dump() + "; true or false is needed");
  return v.get<bool>();
}

std::vector<std::string> JsonReader::texts(const char* key) {
  const json& v = value(key);
  if (!v.is_array() || !std::ranges::all_of(v, [](const json& e) { return e.is_string(); }))
    fail(key, "is no list of strings");
  return v.get<std::vector<std::string>>();
}

std::vector<std::string> JsonReader::text_or_texts(const char* key) {
  if (value(key).is_string()) return {text(key)};
  return texts(key);
}

double JsonReader::positive(const char* key) {
  const double value = number(key);
  if (!(value > 0)) fail(key, "is " + std::to_string(value) + "; more than 0 is needed");
  return value;
}

std::string JsonReader::one_of(const char* key, const std::vector<std::string>& allowed) {
  const std::string word = text(key);
  if (std::ranges::find(allowed, word) == allowed.end())
    fail(key, "is an " + unknown_name("word", word, allowed));
  return word;
}

std::vector<double> JsonReader::numbers(const char* key) {
  const json& v = value(key);
  if (!v.is_array() || !std::ranges::all_of(v, [](const json& e) { return e.is_number(); }))
    fail(key, "is no list of numbers");
  return v.get<std::vector<double>>();
}

JsonReader JsonReader::object(const char* key) { return {value(key), file_, full_name(key)}; }

std::vector<JsonReader> JsonReader::objects(const char* key) {
  const json& v = value(key);
  if (!v.is_array()) fail(key, "is no list");
  std::vector<JsonReader> readers;
  for (size_t i = 0; i < v.size(); ++i)
    readers.emplace_back(v[i], file_, full_name(key) + "[" + std::to_string(i) + "]");
  return readers;
}

std::vector<std::pair<std::string, JsonReader>> JsonReader::named_objects(const char* key) {
  const json& v = value(key);
  if (!v.is_object()) fail(key, "is no object");
  std::vector<std::pair<std::string, JsonReader>> readers;
  for (const auto& [name, member] : v.items())
    readers.emplace_back(name, JsonReader(member, file_, full_name(key) + "." + name));
  return readers;
}

void JsonReader::finish() const {
  for (const auto& [key, unused] : object_.items())
    if (!read_.contains(key)) fail(key, "is no key this version of darkroom knows");
}

}  // namespace darkroom
