#include "app/list.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/model_path.h"
#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "darkroom/diffusion/sampler.h"
#include "darkroom/model/manifest.h"

namespace darkroom {
namespace {

using nlohmann::ordered_json;

/// What stands in a table's cell, under its heading.
struct Column {
  const char* heading;
  std::string (*text)(const ordered_json& row);
};

std::string joined(const ordered_json& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word.get<std::string>();
  return text;
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 0, ' ');
}

/// The last column is as wide as it is; `note` follows on a line of its own, below it.
std::string table(const std::vector<ordered_json>& rows, const std::vector<Column>& columns,
                  std::string (*note)(const ordered_json& row)) {
  std::vector<std::string> lines(rows.size() + 1);
  for (const Column& column : columns) {
    size_t widest = 0;
    for (const std::string& line : lines) widest = std::max(widest, line.size());
    const size_t start = widest == 0 ? 0 : widest + 2;
    lines[0] = padded(lines[0], start) + column.heading;
    for (size_t i = 0; i < rows.size(); ++i)
      lines[i + 1] = padded(lines[i + 1], start) + column.text(rows[i]);
    if (&column == &columns.back())
      for (size_t i = 0; i < rows.size(); ++i)
        lines[i + 1].append("\n").append(start, ' ').append(note(rows[i]));
  }
  std::string text;
  for (const std::string& line : lines) text.append(text.empty() ? "" : "\n").append(line);
  return text;
}

std::string name_of(const ordered_json& row) { return row["name"]; }
std::string summary_of(const ordered_json& row) { return row["summary"]; }

std::string calls_of(const ordered_json& row) {
  const ordered_json& calls = row["calls_per_step"];
  return calls.is_null() ? "any" : calls.dump();
}

std::string names_and_source(const ordered_json& row) {
  const std::string aliases = joined(row["aliases"]);
  return (aliases.empty() ? "" : "also " + aliases + "; ") + "from " + row["source"].get<std::string>();
}

std::vector<ordered_json> sampler_rows() {
  std::vector<ordered_json> rows;
  for (const SamplerInfo& sampler : samplers())
    rows.push_back({{"name", sampler.name},
                    {"aliases", sampler.aliases},
                    {"order", sampler.order},
                    {"deterministic", !sampler.stochastic},
                    {"calls_per_step", sampler.calls > 0 ? ordered_json(sampler.calls) : ordered_json()},
                    {"summary", sampler.summary},
                    {"source", sampler.source},
                    {"options", sampler.options}});
  return rows;
}

std::vector<ordered_json> schedule_rows() {
  std::vector<ordered_json> rows;
  for (const SpacingInfo& spacing : spacings())
    rows.push_back({{"name", spacing.name},
                    {"aliases", spacing.aliases},
                    {"summary", spacing.summary},
                    {"source", spacing.source},
                    {"options", spacing.options}});
  return rows;
}

// A damaged model must not hide the sound ones.
std::vector<ordered_json> model_rows() {
  std::vector<ordered_json> rows;
  for (const std::filesystem::path& folder : installed_models(model_search_path())) {
    std::string summary;
    try {
      summary = read_manifest(folder).summary;
    } catch (const ModelError& error) {
      summary = std::string("unusable: ") + error.what();
    }
    rows.push_back({{"name", folder.filename().string()}, {"summary", summary}, {"folder", folder.string()}});
  }
  return rows;
}

std::string sampler_table(const std::vector<ordered_json>& rows) {
  return table(rows,
               {{"NAME", name_of},
                {"ORDER", [](const ordered_json& row) { return row["order"].dump(); }},
                {"CALLS A STEP", calls_of},
                {"NOISE",
                 [](const ordered_json& row) -> std::string {
                   return row["deterministic"].get<bool>() ? "no" : "yes";
                 }},
                {"WHAT IT IS", summary_of}},
               names_and_source);
}

std::string schedule_table(const std::vector<ordered_json>& rows) {
  return table(rows, {{"NAME", name_of}, {"HOW STEPS ARE SPACED", summary_of}}, names_and_source);
}

std::string model_table(const std::vector<ordered_json>& rows) {
  return table(rows, {{"NAME", name_of}, {"WHAT IT MAKES", summary_of}},
               [](const ordered_json& row) { return row["folder"].get<std::string>(); });
}

/// What can be listed.
struct Listing {
  std::string_view name;
  std::vector<ordered_json> (*rows)();
  std::string (*table)(const std::vector<ordered_json>& rows);
};
constexpr Listing kListings[] = {{"samplers", sampler_rows, sampler_table},
                                 {"schedules", schedule_rows, schedule_table},
                                 {"models", model_rows, model_table}};

}  // namespace

std::string list(const std::string& what, bool json) {
  const Listing& listing = find_row<UsageError>("list", what, kListings);
  const std::vector<ordered_json> rows = listing.rows();
  if (!json) return listing.table(rows);
  std::string text;
  for (const ordered_json& row : rows) {
    if (!text.empty()) text += '\n';
    text += row.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  }
  return text;
}

}  // namespace darkroom
