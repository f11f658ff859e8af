#include "app/prompt_file.h"

#include <algorithm>
#include <map>

#include "app/csv.h"
#include "app/text_lines.h"
#include "base/trimmed.h"
#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

using nlohmann::json;

template <class T>
bool takes(const Option& option) {
  return std::holds_alternative<T Options::*>(option.field);
}

/// What a JSON value says, as it would be typed. Throws UsageError for an object or a list but of numbers.
std::string typed(const json& value, const std::string& key) {
  const Option* option = find_option(key);
  const auto number = [](const json& item) { return item.is_number(); };
  if (option && takes<std::vector<double>>(*option) && value.is_array() &&
      std::all_of(value.begin(), value.end(), number)) {
    std::string list;
    for (const json& item : value) list += (list.empty() ? "" : ",") + item.dump();
    return list;
  }
  if (value.is_structured())
    throw UsageError(key + ": " + value.dump().substr(0, 40) + " is neither a text nor a number");
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// A key that names an option sets it; any other is kept. A null value leaves the option as it was.
void apply(const std::string& key, const json& value, Prompt& prompt) {
  const Option* option = find_option(key);
  if (!option || option->scope == Scope::command) {
    prompt.extras[key] = value;
    return;
  }
  if (option->scope != Scope::picture && option->scope != Scope::line)
    throw UsageError(key + ": may be set for the whole run only, with --" + option->name);
  const auto text = [](const json& item) { return item.is_string(); };
  if (is_repeated(*option) && value.is_array() && std::ranges::all_of(value, text))
    set_option(prompt.options, *option, value.get<std::vector<std::string>>(), key);
  else if (!value.is_null())
    set_option(prompt.options, *option, typed(value, key), key);
}

/// A prompt without a text yet.
Prompt blank_prompt(const std::filesystem::path& file, size_t line, const Options& base) {
  return {base, file.string() + ":" + std::to_string(line), line, json::object(), {}};
}

std::vector<Prompt> read_text(const std::filesystem::path& file, std::string_view bytes,
                              const Options& base) {
  std::vector<Prompt> prompts;
  for (const TextLine& line : text_lines(bytes)) {
    const std::string_view text = trimmed(line.text);
    if (text.empty() || text.front() == '#') continue;
    prompts.push_back(blank_prompt(file, line.number, base));
    prompts.back().options.prompt = text;
  }
  return prompts;
}

void read_json_line(std::string_view text, Prompt& prompt) {
  json object;
  try {
    object = json::parse(text);
  } catch (const json::parse_error& error) {
    throw UsageError("not JSON (column " + std::to_string(error.byte) + ")");
  }
  if (!object.is_object()) throw UsageError("not a JSON object");
  for (const auto& [key, value] : object.items()) apply(key, value, prompt);
  if (prompt.options.prompt) return;
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() && same_word(key, "prompt")) throw UsageError("the prompt is null");
    keys.push_back(key);
  }
  const std::string near = nearest_name("prompt", keys);
  throw UsageError("no key 'prompt'" + (near.empty() ? "" : "; is it '" + near + "'?"));
}

std::vector<Prompt> read_json_lines(const std::filesystem::path& file, std::string_view bytes,
                                    const Options& base) {
  std::vector<Prompt> prompts;
  for (const TextLine& line : text_lines(bytes)) {
    if (trimmed(line.text).empty()) continue;
    Prompt& prompt = prompts.emplace_back(blank_prompt(file, line.number, base));
    try {
      read_json_line(line.text, prompt);
    } catch (const UsageError& error) {
      prompt.fault = error.what();
    }
  }
  return prompts;
}

void read_record(const CsvRecord& record, const std::vector<std::string>& columns, Prompt& prompt) {
  if (!record.fault.empty()) throw UsageError(record.fault);
  if (record.cells.size() != columns.size())
    throw UsageError(std::to_string(record.cells.size()) + " cells where the header names " +
                     std::to_string(columns.size()));
  prompt.options.prompt = "";
  for (size_t i = 0; i < columns.size(); ++i)
    if (!record.cells[i].empty()) apply(columns[i], record.cells[i], prompt);
}

std::vector<Prompt> read_table(const std::filesystem::path& file, const std::vector<CsvRecord>& records,
                               const Options& base) {
  if (records.empty()) return {};
  const std::vector<std::string>& columns = records.front().cells;
  bool has_prompt = false;
  for (const std::string& column : columns) {
    const Option* option = find_option(column);
    has_prompt = has_prompt || (option && option->name == "prompt");
  }
  if (!has_prompt) throw UsageError(file.string() + ":1: the header names no column 'prompt'");
  std::vector<Prompt> prompts;
  for (size_t i = 1; i < records.size(); ++i) {
    Prompt& prompt = prompts.emplace_back(blank_prompt(file, records[i].line, base));
    try {
      read_record(records[i], columns, prompt);
    } catch (const UsageError& error) {
      prompt.fault = error.what();
    }
  }
  return prompts;
}

/// Throws UsageError for an id that two lines have.
void refuse_equal_ids(const std::filesystem::path& file, const std::vector<Prompt>& prompts) {
  std::map<std::string, size_t> lines;
  for (const Prompt& prompt : prompts) {
    if (!prompt.extras.contains("id")) continue;
    const std::string id = prompt.extras["id"].dump();
    const auto [first, is_new] = lines.emplace(id, prompt.line);
    if (!is_new)
      throw UsageError(file.string() + ": lines " + std::to_string(first->second) + " and " +
                       std::to_string(prompt.line) + " have the same id " + id);
  }
}

}  // namespace

std::vector<Prompt> read_prompt_file(const std::filesystem::path& file, const Options& base) {
  const std::string kind = file.extension();
  if (kind != ".txt" && kind != ".jsonl" && kind != ".csv" && kind != ".tsv")
    throw UsageError(file.string() + ": '" + kind +
                     "' is no prompt file (allowed: .txt, .jsonl, .csv, .tsv)");
  const std::string bytes = read_file(file);
  const std::vector<Prompt> prompts = kind == ".txt"     ? read_text(file, bytes, base)
                                      : kind == ".jsonl" ? read_json_lines(file, bytes, base)
                                      : kind == ".csv"   ? read_table(file, read_csv(bytes), base)
                                                         : read_table(file, read_tsv(bytes), base);
  if (prompts.empty()) throw UsageError(file.string() + ": holds no prompt");
  refuse_equal_ids(file, prompts);
  return prompts;
}

}  // namespace darkroom
