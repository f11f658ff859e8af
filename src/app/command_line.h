#pragma once

#include <string>
#include <vector>

#include "app/options.h"

namespace darkroom {

/// Reads the words after the program's name, `[PROMPT] [options]`, over a model's settings. A file named by
/// --config is applied first. Throws UsageError naming the option, what was given, what is allowed and the
/// nearest valid name.
Options parse_command_line(const std::vector<std::string>& words, const Settings& defaults = {});

/// What --help prints.
std::string help_text();

/// Words as a line for a POSIX shell.
std::string shell_line(const std::vector<std::string>& words);

}  // namespace darkroom
