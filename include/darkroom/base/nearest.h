#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// The candidate with the smallest edit distance (Levenshtein, ignoring case) to `name`, or "" if none is near enough
/// to be a likely slip of the keyboard (more than a third of the letters differ).
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

/// "unknown WHAT 'NAME'; did you mean 'X'? (allowed: a, b, c)", for usage errors about names.
std::string unknown_name(std::string_view what, std::string_view name, const std::vector<std::string>& candidates);

}  // namespace darkroom
