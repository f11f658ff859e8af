#include "app/options.h"

#include <algorithm>
#include <cctype>

#include "app/embedding_text.h"
#include "app/lora_text.h"
#include "app/numbers.h"
#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

/// "Cfg_Scale", "cfg scale" -> "cfg-scale".
std::string normalised(std::string_view name) {
  std::string result(name);
  for (char& c : result)
    c = c == '_' || c == ' ' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string text_of(const Lora& lora) { return lora_text(lora); }
std::string text_of(const Embedding& embedding) { return embedding_text(embedding); }

/// The canonical name of a choice. Throws UsageError naming the nearest.
std::string chosen(const Option& option, const std::string& text, const std::string& what) {
  const std::string wanted = normalised(text);
  std::vector<std::string> names;
  for (const Choice& choice : option.choices()) {
    names.push_back(choice.name);
    if (normalised(choice.name) == wanted) return choice.name;
    for (const std::string& alias : choice.aliases)
      if (normalised(alias) == wanted) return choice.name;
  }
  throw UsageError(what + ": " + unknown_name(option.name, text, names));
}

bool parse_flag(const std::string& text, const std::string& what) {
  if (text == "true") return true;
  if (text == "false") return false;
  throw UsageError(what + ": '" + text + "' is neither true nor false");
}

struct SetField {
  Options& options;
  const Option& option;
  const std::vector<std::string>& texts;
  const std::string& what;

  const std::string& text() const { return texts.back(); }

  int64_t low() const { return static_cast<int64_t>(option.low); }
  int64_t high() const { return static_cast<int64_t>(option.high); }
  double number() const { return parse_number(what, text(), option.low, option.high); }

  void operator()(bool Options::*field) const { options.*field = parse_flag(text(), what); }
  void operator()(int64_t Options::*field) const {
    options.*field = parse_integer(what, text(), low(), high());
  }
  void operator()(double Options::*field) const { options.*field = number(); }
  void operator()(std::optional<double> Options::*field) const { options.*field = number(); }
  void operator()(std::string Options::*field) const {
    options.*field = option.choices ? chosen(option, text(), what) : text();
  }
  void operator()(std::optional<std::string> Options::*field) const { options.*field = text(); }
  // A list is the schedule of its name, and says how many steps there are.
  void operator()(std::vector<double> Options::*field) const {
    std::vector<double> list = parse_numbers(what, text(), option.low, option.high);
    if (option.name == "sigmas" && list.back() == 0) list.pop_back();  // where every walk ends
    options.schedule = option.name;
    options.steps = static_cast<int64_t>(list.size());
    options.*field = std::move(list);
  }
  void operator()(std::vector<Lora> Options::*field) const { options.*field = each_of(parse_lora); }
  void operator()(std::vector<Embedding> Options::*field) const { options.*field = each_of(parse_embedding); }

  template <typename Item>
  std::vector<Item> each_of(Item (*parse)(std::string_view what, const std::string& text)) const {
    std::vector<Item> list;
    for (const std::string& text : texts) list.push_back(parse(what, text));
    return list;
  }
};

struct GetField {
  const Options& options;

  template <typename T>
  nlohmann::json operator()(T Options::*field) const {
    return options.*field;
  }
  template <typename T>
  nlohmann::json operator()(std::optional<T> Options::*field) const {
    return options.*field ? nlohmann::json(*(options.*field)) : nlohmann::json();
  }
  nlohmann::json operator()(std::vector<double> Options::*field) const {
    return (options.*field).empty() ? nlohmann::json() : nlohmann::json(options.*field);
  }
  template <typename Item>
  nlohmann::json operator()(std::vector<Item> Options::*field) const {
    nlohmann::json list;
    for (const Item& item : options.*field) list.push_back(text_of(item));
    return list;
  }
};

}  // namespace

const char* const kVersion = DARKROOM_VERSION;

std::string Option::key() const {
  std::string result = name;
  std::replace(result.begin(), result.end(), '-', '_');
  return result;
}

bool is_repeated(const Option& option) {
  return std::holds_alternative<std::vector<Lora> Options::*>(option.field) ||
         std::holds_alternative<std::vector<Embedding> Options::*>(option.field);
}

const Option* find_option(std::string_view name) {
  const std::string wanted = normalised(name);
  for (const Option& option : option_table()) {
    if (option.name == wanted) return &option;
    for (const std::string& alias : option.aliases)
      if (alias == wanted) return &option;
  }
  return nullptr;
}

void set_option(Options& options, const Option& option, const std::string& text, const std::string& what) {
  set_option(options, option, std::vector{text}, what);
}

void set_option(Options& options, const Option& option, const std::vector<std::string>& texts,
                const std::string& what) {
  std::visit(SetField{options, option, texts, what}, option.field);
}

nlohmann::json option_value(const Options& options, const Option& option) {
  return std::visit(GetField{options}, option.field);
}

}  // namespace darkroom
