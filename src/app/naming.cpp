#include "app/naming.h"

#include <array>
#include <cctype>
#include <functional>
#include <set>
#include <vector>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

bool is_reserved(const std::string& name) {
  static const std::set<std::string> devices = {"con", "prn", "aux", "nul"};
  const bool numbered = name.size() == 4 && (name.starts_with("com") || name.starts_with("lpt")) &&
                        std::isdigit(static_cast<unsigned char>(name[3]));
  return devices.contains(name) || numbered;
}

/// The template with each {name} replaced by what `value` says.
std::string replaced(const std::string& name, const std::function<std::string(const std::string&)>& value) {
  std::string result;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '{') {
      result += name[i];
      continue;
    }
    const size_t end = name.find('}', i);
    if (end == std::string::npos) throw UsageError("name template '" + name + "': '{' is never closed");
    result += value(name.substr(i + 1, end - i - 1));
    i = end;
  }
  return result;
}

}  // namespace

std::string slug(std::string_view text, size_t limit) {
  std::string result;
  for (const char c : text) {
    const bool plain = static_cast<unsigned char>(c) < 128 && std::isalnum(static_cast<unsigned char>(c));
    if (plain)
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (!result.empty() && result.back() != '-')
      result += '-';
    if (result.size() > limit) break;
  }
  if (result.size() > limit) {
    const size_t word_end = result.rfind('-');
    result.resize(word_end != std::string::npos && word_end > limit / 2 ? word_end : limit);
  }
  while (result.ends_with('-')) result.pop_back();
  if (result.empty()) return "image";
  return is_reserved(result) ? result + "-image" : result;
}

const std::vector<std::string>& placeholders() {
  static const std::vector<std::string> names = {"index", "slug",   "seed",  "id",      "line",
                                                 "width", "height", "steps", "sampler", "model"};
  return names;
}

void check_template(const std::string& name) {
  const std::string where = "name template '" + name + "'";
  if (!is_png_name(name)) throw UsageError(where + ": must end in .png");
  const std::string plain = replaced(name, [](const std::string& placeholder) {
    for (const std::string& known : placeholders())
      if (known == placeholder) return std::string("x");
    throw UsageError(unknown_name("placeholder", placeholder, placeholders()));
  });
  const std::filesystem::path path = plain;
  if (path.is_absolute()) throw UsageError(where + ": must lie in the output folder");
  for (const std::filesystem::path& part : path)
    if (part == "..") throw UsageError(where + ": must lie in the output folder");
  if (path.stem().empty() || path.filename() == ".png") throw UsageError(where + ": names no file");
}

bool is_png_name(const std::string& name) {
  return name.size() >= 4 && same_word(std::string_view(name).substr(name.size() - 4), ".png");
}

std::filesystem::path expand_template(const std::string& name, const NameValues& values) {
  const std::filesystem::path path =
      replaced(name, [&](const std::string& placeholder) { return values.at(placeholder); });
  for (const std::filesystem::path& part : path)
    if (part.string().size() > 255)
      throw UsageError("file name of " + std::to_string(part.string().size()) +
                       " bytes (allowed: at most 255): " + part.string());
  return path;
}

}  // namespace darkroom
