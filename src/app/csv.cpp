#include "app/csv.h"

#include "app/text_lines.h"
#include "base/trimmed.h"

namespace darkroom {
namespace {

/// Reads records off the front of the bytes.
class CsvReader {
 public:
  explicit CsvReader(std::string_view bytes) : rest_(without_bom(bytes)) {}

  bool at_end() const { return rest_.empty(); }

  CsvRecord record() {
    CsvRecord result;
    result.line = line_;
    do {
      result.cells.push_back(cell(result.fault));
    } while (skip(","));
    if (!skip("\r\n")) skip("\n");
    return result;
  }

 private:
  bool skip(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    if (text.back() == '\n') ++line_;
    rest_.remove_prefix(text.size());
    return true;
  }

  char next() {
    const char c = rest_.front();
    skip(rest_.substr(0, 1));
    return c;
  }

  bool at_cell_end() const {
    return rest_.empty() || rest_.front() == ',' || rest_.front() == '\n' || rest_.starts_with("\r\n");
  }

  std::string cell(std::string& fault) {
    std::string text;
    if (skip("\"")) {
      for (;;) {
        if (rest_.empty()) {
          fault = "a quote is never closed";
          return text;
        }
        if (skip("\"\""))
          text += '"';
        else if (skip("\""))
          break;
        else
          text += next();
      }
      if (!at_cell_end()) fault = "text after a closing quote";
    }
    while (!at_cell_end()) text += next();
    return text;
  }

  std::string_view rest_;
  size_t line_ = 1;
};

bool blank(const CsvRecord& record) {
  return record.cells.size() == 1 && trimmed(record.cells.front()).empty();
}

}  // namespace

std::vector<CsvRecord> read_csv(std::string_view bytes) {
  std::vector<CsvRecord> records;
  for (CsvReader reader(bytes); !reader.at_end();) {
    CsvRecord record = reader.record();
    if (!blank(record)) records.push_back(std::move(record));
  }
  return records;
}

std::vector<CsvRecord> read_tsv(std::string_view bytes) {
  std::vector<CsvRecord> records;
  for (const TextLine& line : text_lines(bytes)) {
    CsvRecord record{line.number, {}, {}};
    std::string_view rest = line.text;
    for (size_t tab; (tab = rest.find('\t')) != std::string_view::npos; rest.remove_prefix(tab + 1))
      record.cells.emplace_back(rest.substr(0, tab));
    record.cells.emplace_back(rest);
    if (!blank(record)) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace darkroom
