#pragma once

#include <filesystem>
#include <string>

#include "darkroom/base/error.h"

namespace darkroom {

/// The cause of an errno value as messages word it: "exists already", "no space left on device", ...
std::string cause_of(int error_number);

/// Throws `Kind` with "cannot DO 'FILE': cause", for a system call on `file` that failed with `error_number`.
template <class Kind>
[[noreturn]] void throw_cannot(const char* verb, const std::filesystem::path& file, int error_number) {
  throw Kind("cannot " + std::string(verb) + " '" + file.string() + "': " + cause_of(error_number));
}

}  // namespace darkroom
