#include "text/lost_words.h"

#include "text/recorded.h"

namespace darkroom {
namespace {

std::vector<Warning> warnings_of(const std::string& text) {
  static const auto kTokenizer = make_clip_tokenizer(
      std::filesystem::path(DARKROOM_SOURCE_DIR) / "models/emoji/merges.txt", Padding::end, 12);
  testing::Collected diagnostics;
  make_chunks(*kTokenizer, {{text, 1}}, Chunking::truncate, diagnostics, "negative prompt");
  return diagnostics.warnings;
}

std::string lost(const std::string& text) {
  const std::vector<Warning> warnings = warnings_of(text);
  return warnings.size() == 1 ? warnings[0].text : std::to_string(warnings.size()) + " warnings";
}

TEST(LostWords, AreNamedAsTheyWereWritten) {
  EXPECT_EQ(lost("a photo of an astronaut riding a horse on Mars"), "0 warnings");
  EXPECT_EQ(lost("a photo of an astronaut riding a horse on Mars  of a\nDISTANT Café "),
            "the last 4 words are past the 10-token limit and are lost: \"of a DISTANT Café\"");
  EXPECT_EQ(lost("a photo of an astronaut riding a horse on Mars!"),
            "the last word is past the 10-token limit and is lost: \"Mars!\"");
}

TEST(LostWords, SayWhatTheyAreAbout) {
  const std::vector<Warning> warnings =
      warnings_of("one two three four five six seven eight nine ten eleven");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].kind, "words_lost");
  EXPECT_EQ(warnings[0].place, "negative prompt");
}

TEST(LostWords, IncludeAWordThatIsCut) {
  EXPECT_EQ(lost("one two three four five supercalifragilisticexpialidocious six"),
            "the last 2 words are past the 10-token limit and are lost: \"supercalifragilisticexpialidocious "
            "six\"");
}

TEST(LostWords, AreCharactersWhereAScriptHasNoSpaces) {
  EXPECT_EQ(describe_lost_words("猫と犬 cat", 2, [](std::string_view part) { return part.size() / 3; }),
            "the last 2 words are past the 2-token limit and are lost: \"犬 cat\"");
}

TEST(LostWords, AreShortenedInTheMiddle) {
  const auto byte_count = [](std::string_view part) { return part.size(); };
  const std::string eighty = std::string(39, 'a') + "x" + std::string(40, 'b');
  EXPECT_EQ(describe_lost_words(eighty, 5, byte_count),
            "the last word is past the 5-token limit and is lost: \"" + eighty + "\"");
  EXPECT_EQ(describe_lost_words(std::string(39, 'a') + "xyz" + std::string(40, 'b'), 5, byte_count),
            "the last word is past the 5-token limit and is lost: \"" + std::string(39, 'a') + "…" +
                std::string(40, 'b') + "\"");
}

TEST(LostWords, OfAMegabyteAreFoundAtOnce) {
  EXPECT_EQ(lost(std::string(1'000'000, 'a')), "the last word is past the 10-token limit and is lost: \"" +
                                                   std::string(39, 'a') + "…" + std::string(40, 'a') + "\"");
  std::string many;
  while (many.size() < 1'000'000) many += "cat ";
  EXPECT_TRUE(
      lost(many).starts_with("the last 249990 words are past the 10-token limit and are lost: \"cat "));
}

}  // namespace
}  // namespace darkroom
