#pragma once

#include <string>

namespace darkroom {

/// The samplers, schedules or models there are: a table for people, or one JSON object a line. Throws
/// UsageError for another word.
std::string list(const std::string& what, bool json);

}  // namespace darkroom
