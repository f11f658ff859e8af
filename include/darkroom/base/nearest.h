#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// Equal, ignoring case (ASCII).
bool same_word(std::string_view a, std::string_view b);

/// The candidate with the smallest edit distance to `name` (letters inserted, left out, replaced or swapped,
/// ignoring case), or "" if none is near enough to be a likely slip of the keyboard (more than a third of the
/// letters differ).
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

/// "unknown WHAT 'NAME'; did you mean 'X'? (allowed: a, b, c)", for errors about names. A long list is left
/// out where a name is near.
std::string unknown_name(std::string_view what, std::string_view name,
                         const std::vector<std::string>& candidates);

/// The names of a table whose rows have a `name`.
template <class Rows>
std::vector<std::string> names_of(const Rows& rows) {
  std::vector<std::string> names;
  for (const auto& row : rows) names.emplace_back(row.name);
  return names;
}

/// The row of this name or, where rows have `aliases`, of this alias, ignoring case. Throws
/// Failure(unknown_name(...)).
template <class Failure, class Rows>
const auto& find_row(std::string_view what, std::string_view name, const Rows& rows) {
  for (const auto& row : rows) {
    if (same_word(row.name, name)) return row;
    if constexpr (requires { row.aliases; }) {
      for (const std::string_view alias : row.aliases)
        if (same_word(alias, name)) return row;
    }
  }
  throw Failure(unknown_name(what, name, names_of(rows)));
}

}  // namespace darkroom
