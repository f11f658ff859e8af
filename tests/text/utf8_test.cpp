#include "darkroom/text/utf8.h"

#include "text/recorded.h"

namespace darkroom {
namespace {

struct Case {
  std::string bytes, text;
};

// What Python's bytes.decode("utf-8", errors="replace") gives.
const Case kCases[] = {
    {"\xFF", "\uFFFD"},
    {"a\x80\x80z", "a\uFFFD\uFFFDz"},
    {"\xC0\xAF", "\uFFFD\uFFFD"},                      // overlong "/"
    {"\xE0\x80\xAF", "\uFFFD\uFFFD\uFFFD"},            // overlong in three
    {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},            // a surrogate
    {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // past U+10FFFF
    {"\xF5\x80", "\uFFFD\uFFFD"},
    {"\xE2\x82", "\uFFFD"},  // cut short: one maximal subpart
    {"\xE2\x82z", "\uFFFDz"},
    {"\xF0\x9F\x98", "\uFFFD"},
    {"\xF0\x9F\xE2\x82\xAC", "\uFFFD€"},
    {"\xF1\x80\x80\xE1\x80\xC2", "\uFFFD\uFFFD\uFFFD"},
};

TEST(ValidUtf8, ReplacesEachMaximalInvalidSubpart) {
  for (const Case& example : kCases) {
    testing::Collected diagnostics;
    EXPECT_EQ(valid_utf8(example.bytes, diagnostics, "prompt"), example.text);
    ASSERT_EQ(diagnostics.warnings.size(), 1u) << example.text;
    EXPECT_EQ(diagnostics.warnings[0].kind, "invalid_utf8");
  }
}

TEST(ValidUtf8, KeepsEveryCodePoint) {
  const std::string text =
      std::string("a\0b", 3) + "\u007F\u0080\u07FF\u0800\uD7FF\uE000\uFFFF\U00010000\U0010FFFF";
  testing::Collected diagnostics;
  EXPECT_EQ(valid_utf8(text, diagnostics, "prompt"), text);
  EXPECT_TRUE(diagnostics.warnings.empty());
}

TEST(ValidUtf8, WarnsOnceNamingTheFirstByteAndThePlace) {
  testing::Collected diagnostics;
  valid_utf8("ab\xFFzz\xFF", diagnostics, "prompts.txt:12");
  valid_utf8("abc\xFF", diagnostics, "prompt");
  ASSERT_EQ(diagnostics.warnings.size(), 2u);
  EXPECT_EQ(diagnostics.warnings[0].place, "prompts.txt:12");
  EXPECT_EQ(diagnostics.warnings[0].text,
            "byte 2 is not valid UTF-8; it and what else is invalid became U+FFFD, 2 times");
  EXPECT_EQ(diagnostics.warnings[1].text, "byte 3 is not valid UTF-8; it became U+FFFD");
}

}  // namespace
}  // namespace darkroom
