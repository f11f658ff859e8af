#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// Text as a part of a file name that any file system takes: lower-case ASCII letters, digits and single
/// hyphens, at most `limit` characters cut at a word where possible, never empty, no name that Windows
/// reserves.
std::string slug(std::string_view text, size_t limit = 48);

/// The values of a template's placeholders.
using NameValues = std::map<std::string, std::string>;

/// The placeholders that a template may hold: index, slug, seed, ...
const std::vector<std::string>& placeholders();

/// Throws UsageError for a template that could leave the output folder, does not end in .png, or names an
/// unknown placeholder (the nearest is offered).
void check_template(const std::string& name);

/// Whether the name ends in .png, in capitals or not.
bool is_png_name(const std::string& name);

/// A checked template with its placeholders replaced. Throws UsageError where a part of the result is longer
/// than file systems allow (255 bytes).
std::filesystem::path expand_template(const std::string& name, const NameValues& values);

}  // namespace darkroom
