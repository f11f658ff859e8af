#include "text/attention.h"

#include "darkroom/base/error.h"
#include "text/recorded.h"

namespace darkroom {

static void PrintTo(const WeightedPrompt& part, std::ostream* out) {
  *out << '"' << part.text << "\" :" << part.weight;
}

namespace {

using Parts = std::vector<WeightedPrompt>;

// The examples of A1111's own documentation.
TEST(Attention, ReadsWhatA1111Documents) {
  EXPECT_EQ(parse_attention("normal text"), (Parts{{"normal text", 1}}));
  EXPECT_EQ(parse_attention("an (important) word"), (Parts{{"an ", 1}, {"important", 1.1}, {" word", 1}}));
  EXPECT_EQ(parse_attention("(unbalanced"), (Parts{{"unbalanced", 1.1}}));
  EXPECT_EQ(parse_attention("\\(literal\\]"), (Parts{{"(literal]", 1}}));
  EXPECT_EQ(parse_attention("(unnecessary)(parens)"), (Parts{{"unnecessaryparens", 1.1}}));
  EXPECT_EQ(parse_attention("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky)))."),
            (Parts{{"a ", 1},
                   {"house", 1.5730000000000004},
                   {" ", 1.1},
                   {"on", 1},
                   {" a ", 1.1},
                   {"hill", 0.55},
                   {", sun, ", 1.1},
                   {"sky", 1.4641000000000006},
                   {".", 1.1}}));
}

// Bit by bit as an independent transcription in Python reads them: goldens/record_prompts.py.
TEST(Attention, AgreesWithTheTranscription) {
  const nlohmann::json recorded = golden_json("prompts.json");
  ASSERT_GT(recorded["attention"].size(), 300u);
  for (const nlohmann::json& row : recorded["attention"]) {
    Parts expected;
    for (const nlohmann::json& part : row["parts"]) expected.push_back({part[0], part[1]});
    EXPECT_EQ(parse_attention(row["text"].get<std::string>()), expected) << row["text"];
  }
}

TEST(Attention, BreaksAtBREAKAlone) {
  const auto breaks = [](std::string_view text) {
    return std::ranges::count_if(parse_attention(text), is_break);
  };
  for (const char* text :
       {"a BREAK b", "BREAK", "a,BREAK\nb", "a\u3000BREAK", "日本，BREAK b", "(a BREAK:1)"})
    EXPECT_EQ(breaks(text), 1) << text;
  EXPECT_EQ(breaks("BREAK BREAK"), 2);
  for (const char* text :
       {"BREAKS", "a_BREAK", "break", "OUTBREAK", "日BREAK", "BREAKé", "(a BREAK b)", "1BREAK"})
    EXPECT_EQ(breaks(text), 0) << text;
  EXPECT_EQ(parse_attention("(a BREAK b)")[1], (WeightedPrompt{"BREAK", -1.1}));
}

TEST(Attention, TakesAWeightThatIsNoNumberForText) {
  EXPECT_EQ(parse_attention("(a:1.2.3)"), (Parts{{"a:1.2.3", 1.1}}));
  EXPECT_EQ(parse_attention("(a:big)"), (Parts{{"a:big", 1.1}}));
  EXPECT_EQ(parse_attention("at 12:30"), (Parts{{"at 12:30", 1}}));
}

TEST(Attention, RefusesWhatWouldChangeThePromptFromStepToStep) {
  for (const char* text :
       {"a [cat:dog:0.5]", "[cat:0.5]", "[cat::10]", "[cat|dog]", "a [b (c|d)]", "[a: 3 ]"})
    EXPECT_THROW(parse_attention(text), UsageError) << text;
  for (const char* text : {"a|b", "[a:b]", "\\[cat:0.5\\]", "(a|b)", "[a", "a:0.5]", "[(a:0.5)]"})
    EXPECT_NO_THROW(parse_attention(text)) << text;
}

}  // namespace
}  // namespace darkroom
