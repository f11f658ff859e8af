#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "darkroom/base/diagnostics.h"
#include "darkroom/text/tokenizer.h"

namespace darkroom {

/// Keeps the warnings for the test to look at.
class RecordedWarnings : public Diagnostics {
 public:
  void warn(const Warning& warning) override { warnings.push_back(warning); }

  std::vector<Warning> warnings;
};

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(DARKROOM_TEST_DATA) / "goldens" / name;
}

inline nlohmann::json golden_json(const std::string& name) {
  std::ifstream file(golden(name));
  return nlohmann::json::parse(file);
}

/// The ids of a text that gives no warning.
inline std::vector<int64_t> tokenize(const Tokenizer& tokenizer, std::string_view text) {
  RecordedWarnings diagnostics;
  const std::vector<int64_t> ids = tokenizer.tokenize(text, diagnostics, "prompt");
  EXPECT_TRUE(diagnostics.warnings.empty()) << diagnostics.warnings.front().text;
  return ids;
}

/// The framed ids of a text, whatever it warns of.
inline std::vector<int64_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  RecordedWarnings diagnostics;
  return tokenizer.encode(text, diagnostics, "prompt");
}

}  // namespace darkroom
