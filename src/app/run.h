#pragma once

#include <string>
#include <vector>

#include "darkroom/base/error.h"

namespace darkroom {

/// Does what the words after `program` say, from reading them to the last file, and returns what the process
/// should. Throws Error for whatever stops it as a whole.
ExitCode run(const std::string& program, const std::vector<std::string>& words);

/// An error's message, followed by those of the errors that led to it if `all`.
std::string message_of(const std::exception& error, bool all);

}  // namespace darkroom
