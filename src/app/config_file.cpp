#include "app/config_file.h"

#include <map>

#include "app/text_lines.h"
#include "base/trimmed.h"
#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> config_names() {
  std::vector<std::string> names;
  for (const Option& option : option_table())
    if (option.scope != Scope::command) names.push_back(option.name);
  return names;
}

std::string unquoted(std::string_view text) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front())
    text = text.substr(1, text.size() - 2);
  return std::string(text);
}

}  // namespace

void read_config(const std::filesystem::path& file, Options& options) {
  // It is read more than once: first to find the model, then over that model's settings.
  std::error_code error;
  if (fs::exists(file, error) && !fs::is_regular_file(file, error) && !fs::is_directory(file, error))
    throw UsageError("--config: '" + file.string() + "' is a pipe or a device; a file is needed");
  const std::string bytes = read_file(file);
  std::map<const Option*, std::vector<std::string>> lists;
  for (const TextLine& line : text_lines(bytes)) {
    const std::string_view text = trimmed(line.text);
    if (text.empty() || text.front() == '#') continue;
    const std::string place = file.string() + ":" + std::to_string(line.number);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos)
      throw UsageError(place + ": '" + std::string(text) + "' is not 'option = value'");
    const std::string name(trimmed(text.substr(0, equals)));
    const Option* option = find_option(name);
    if (!option || option->scope == Scope::command)
      throw UsageError(place + ": " + unknown_name("option", name, config_names()));
    std::vector<std::string> values = {unquoted(trimmed(text.substr(equals + 1)))};
    if (is_repeated(*option)) {
      lists[option].push_back(values.front());
      values = lists[option];
    }
    set_option(options, *option, values, place + ": " + option->name);
  }
}

}  // namespace darkroom
