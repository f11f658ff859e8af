#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "darkroom/text/tokenizer.h"
#include "support/collected.h"
#include "text/chunks.h"

namespace darkroom {

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(DARKROOM_TEST_DATA) / "goldens" / name;
}

inline nlohmann::json golden_json(const std::string& name) {
  std::ifstream file(golden(name));
  return nlohmann::json::parse(file);
}

/// The ids of a text that gives no warning.
inline std::vector<int64_t> tokenize(const Tokenizer& tokenizer, std::string_view text) {
  testing::Collected diagnostics;
  const std::vector<int64_t> ids = tokenizer.tokenize(text, diagnostics, "prompt");
  EXPECT_TRUE(diagnostics.warnings.empty()) << diagnostics.warnings.front().text;
  return ids;
}

/// The framed ids of a text, whatever it warns of.
inline std::vector<int64_t> encode(const Tokenizer& tokenizer, std::string_view text) {
  testing::Collected diagnostics;
  return make_chunks(tokenizer, {{std::string(text), 1}}, Chunking::truncate, diagnostics, "prompt")
      .front()
      .ids;
}

}  // namespace darkroom
