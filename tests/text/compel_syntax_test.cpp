#include "text/compel_syntax.h"

#include "darkroom/base/error.h"
#include "text/recorded.h"

namespace darkroom {

namespace {

using Parts = std::vector<WeightedPrompt>;

// compel 2.5.1's own parser: goldens/record_compel.py. Python's and C's powers may differ in the last place.
TEST(CompelSyntax, AgreesWithCompel) {
  const nlohmann::json recorded = golden_json("compel.json");
  ASSERT_GT(recorded["attention"].size(), 150u);
  for (const nlohmann::json& row : recorded["attention"]) {
    const Parts parts = parse_compel(row["text"].get<std::string>());
    ASSERT_EQ(parts.size(), row["parts"].size()) << row;
    for (size_t i = 0; i < parts.size(); ++i) {
      EXPECT_EQ(parts[i].text, row["parts"][i][0]) << row;
      EXPECT_DOUBLE_EQ(parts[i].weight, row["parts"][i][1].get<double>()) << row;
    }
  }
}

TEST(CompelSyntax, RefusesOperationsThatDarkroomDoesNotKnow) {
  for (const char* text : {"(\"a cat\", \"a dog\").blend(1, 1)", "(\"a\", \"b\").and()", "a cat.swap(dog)",
                           "a cat withLora(style, 0.5)", "(a, b) .blend ( 1,1)", "(\"a\", \"b\").add()"})
    EXPECT_THROW(parse_compel(text), UsageError) << text;
  for (const char* text : {"a blend (of two)", ".and (", ".blend(", "x.and(y)", "(a).blend", "swap (a)"})
    EXPECT_NO_THROW(parse_compel(text)) << text;
}

TEST(CompelSyntax, OfAMegabyteIsReadAtOnce) {
  for (const char* unit : {"(", "( ", "\"", "a+", "\\\"", "\" ", "+", "(a)1.2 ", "a. "}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    EXPECT_FALSE(parse_compel(text).empty()) << unit;
  }
}

}  // namespace
}  // namespace darkroom
