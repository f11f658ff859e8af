#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/options.h"

namespace darkroom {

/// One prompt asked for, with the options that hold for it.
struct Prompt {
  Options options;
  std::string place;      ///< "prompt", "prompts.txt:12"
  size_t line = 0;        ///< of the prompt file, from 1; 0: no prompt file
  nlohmann::json extras;  ///< what its line says that is no option: an object, passed through to the results
  std::string fault;      ///< why the line cannot be used; empty: it can
};

/// Reads a .txt (a prompt a line, # comments), .jsonl (an object a line), .csv or .tsv file (a header, one
/// column named "prompt"). Keys and columns that name an option set it over `base`; the others are kept as
/// extras. A line that cannot be used comes back with its fault. Throws UsageError for a file that is wrong
/// as a whole: not there, a folder, of another kind, without a prompt column, without any usable line, with
/// an id twice.
std::vector<Prompt> read_prompt_file(const std::filesystem::path& file, const Options& base);

}  // namespace darkroom
