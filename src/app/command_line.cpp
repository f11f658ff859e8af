#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "app/config_file.h"
#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

const char* const kUsage = R"(Makes pictures from text.

  darkroom [PROMPT] [options]
  darkroom list samplers|schedules|models
  darkroom inspect FILE.png|FILE.safetensors|MODEL [--verify]
  darkroom check [PROMPT] [options]     how far the device's latents are from the CPU's

  darkroom "a red apple on a blue background" --seed 7
  darkroom --prompt-file prompts.jsonl --output out --batch-size 4
)";

bool is_flag(const Option& option) { return std::holds_alternative<bool Options::*>(option.field); }

/// "-W,--width" with all aliases, as CLI11 wants them.
std::string spellings(const Option& option) {
  std::string result = "--" + option.name;
  if (option.letter) result = std::string("-") + option.letter + "," + result;
  for (const std::string& alias : option.aliases) result += ",--" + alias;
  return result;
}

/// For a word that is neither an option nor the prompt.
UsageError unexpected(const std::string& word) {
  if (!word.starts_with("-"))
    return UsageError("unexpected '" + word + "'; put quotes around a prompt of several words");
  std::vector<std::string> names;
  for (const Option& option : option_table()) names.push_back("--" + option.name);
  const std::string given = word.substr(0, word.find('='));
  const std::string near = nearest_name(given, names);
  return UsageError("unknown option '" + given + "'" +
                    (near.empty() ? "" : "; did you mean '" + near + "'?") + " (see 'darkroom --help')");
}

/// CLI11 gives "--option=" the word that follows. In reverse order, as it wants them.
std::vector<std::string> for_parser(const std::vector<std::string>& words) {
  std::vector<std::string> result;
  bool options = true;
  for (const std::string& word : words) {
    options = options && word != "--";
    bool empty = options && word.starts_with("--") && word.find('=') == word.size() - 1;
    if (const Option* option = empty ? find_option(word.substr(2, word.size() - 3)) : nullptr)
      empty = !is_flag(*option);
    result.push_back(empty ? word.substr(0, word.size() - 1) : word);
    if (empty) result.emplace_back();
  }
  std::ranges::reverse(result);
  return result;
}

/// What was given for each option, by name; several texts only for one that may be given several times.
std::map<std::string, std::vector<std::string>> split_words(const std::vector<std::string>& words) {
  CLI::App parser;
  parser.set_help_flag();
  parser.allow_extras();
  std::string prompt;
  const CLI::Option* positional = parser.add_option("PROMPT", prompt)->take_last();
  std::map<std::string, std::string> last;
  std::map<std::string, std::vector<std::string>> texts;
  std::map<std::string, bool> flags;
  std::map<std::string, const CLI::Option*> parsed;
  for (const Option& option : option_table())
    parsed[option.name] =
        is_flag(option) ? parser.add_flag(spellings(option), flags[option.name])
        : is_repeated(option)
            ? parser.add_option(spellings(option), texts[option.name])->allow_extra_args(false)
            : parser.add_option(spellings(option), last[option.name])->take_last();
  try {
    parser.parse(for_parser(words));
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
  for (const std::string& word : parser.remaining())
    if (word != "--") throw unexpected(word);
  for (const auto& [name, text] : last) texts[name] = {text};
  for (const auto& [name, on] : flags) texts[name] = {on ? "true" : "false"};
  for (const auto& [name, given] : parsed)
    if (given->count() == 0) texts.erase(name);
  if (positional->count() > 0 && !texts.emplace("prompt", std::vector{prompt}).second)
    throw UsageError("two prompts: '" + prompt + "' and --prompt '" + last["prompt"] + "'");
  return texts;
}

bool needs_quotes(const std::string& word) {
  const std::string safe = "_-./=:,+%@";
  return word.empty() || !std::all_of(word.begin(), word.end(), [&](unsigned char c) {
           return c < 128 && (std::isalnum(c) || safe.find(static_cast<char>(c)) != std::string::npos);
         });
}

}  // namespace

Options parse_command_line(const std::vector<std::string>& words, const Settings& defaults) {
  const std::map<std::string, std::vector<std::string>> texts = split_words(words);
  Options options;
  static_cast<Settings&>(options) = defaults;
  if (texts.contains("config")) read_config(texts.at("config").back(), options);
  for (const Option& option : option_table())
    if (texts.contains(option.name)) set_option(options, option, texts.at(option.name), "--" + option.name);
  options.autoguided = !options.autoguidance.empty();
  return options;
}

std::string help_text() {
  const size_t column = 34;
  std::string text = kUsage, group;
  for (const Option& option : option_table()) {
    if (option.group != group) text += "\n" + option.group + "\n";
    group = option.group;
    std::string left = option.letter ? std::string("  -") + option.letter + ", --" : "      --";
    left += option.name + (option.value.empty() ? "" : " " + option.value);
    text += left + std::string(left.size() < column ? column - left.size() : 1, ' ') + option.help;
    for (const std::string& alias : option.aliases) text += " (also --" + alias + ")";
    text += "\n";
  }
  return text;
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    if (!needs_quotes(word)) {
      line += word;
      continue;
    }
    line += '\'';
    for (char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace darkroom
