#include "darkroom/text/composition.h"

#include <gtest/gtest.h>

namespace darkroom {

static void PrintTo(const WeightedPrompt& prompt, std::ostream* out) {
  *out << prompt.text << " :" << prompt.weight;
}

namespace {

using Prompts = std::vector<WeightedPrompt>;

// What A1111's re_AND and re_weight make of them.
TEST(Composition, ReadsWhatA1111Reads) {
  EXPECT_EQ(split_composition("a cat"), (Prompts{{"a cat", 1}}));
  EXPECT_EQ(split_composition("a cat :1.2 AND a hat"), (Prompts{{"a cat", 1.2}, {"a hat", 1}}));
  EXPECT_EQ(split_composition("a:-.5 AND b : +2. AND c:3\n"), (Prompts{{"a", -0.5}, {"b", 2}, {"c", 3}}));
  EXPECT_EQ(split_composition("AND AND :2"), (Prompts{{"", 1}, {"", 1}, {"", 2}}));
  EXPECT_EQ(split_composition(""), (Prompts{{"", 1}}));
}

TEST(Composition, LeavesOtherWordsAndColonsAlone) {
  for (const char* text : {"SAND ANDES and And", "x_AND", "AND1", "Großmutter und ÄAND", "time: now",
                           "a :1e3", "a :-", "a :.", "a :1.2.3", "a :inf"})
    EXPECT_EQ(split_composition(text), (Prompts{{text, 1}})) << text;
  EXPECT_EQ(split_composition("a (AND) b"), (Prompts{{"a (", 1}, {") b", 1}}));
  EXPECT_EQ(split_composition("at 12:30 :0.5"), (Prompts{{"at 12:30", 0.5}}));
}

}  // namespace
}  // namespace darkroom
