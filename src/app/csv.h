#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace darkroom {

/// One record of a table: its cells and the line it begins on. `fault` says why it cannot be used; empty: it
/// can.
struct CsvRecord {
  size_t line = 0;
  std::vector<std::string> cells;
  std::string fault;
};

/// Comma-separated values with RFC 4180's quotes: "a, b", "say ""hi""", line breaks inside quotes. Blank
/// lines are left out, and so is a byte order mark.
std::vector<CsvRecord> read_csv(std::string_view bytes);

/// Tab-separated values. A quote is a character like any other.
std::vector<CsvRecord> read_tsv(std::string_view bytes);

}  // namespace darkroom
