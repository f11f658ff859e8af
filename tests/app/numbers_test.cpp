#include "app/numbers.h"

#include <gtest/gtest.h>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

std::string message(const std::string& text, int64_t low = 1, int64_t high = 1000) {
  try {
    parse_integer("--steps", text, low, high);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Numbers, ReadsWholeNumbers) {
  EXPECT_EQ(parse_integer("n", "20", 1, 1000), 20);
  EXPECT_EQ(parse_integer("n", "-1", -1, 10), -1);
  EXPECT_EQ(parse_integer("n", "4294967295", -1, 4294967295), 4294967295);
}

TEST(Numbers, RefusesAnythingAfterTheNumber) {
  EXPECT_EQ(message("20x"), "--steps: '20x' is not a whole number (allowed: 1 to 1000)");
  for (const char* text : {"", " 20", "20 ", "1e9", "2.5", "abc", "0x10", "+5"})
    EXPECT_NE(message(text), "") << text;
}

TEST(Numbers, RefusesWhatIsOutOfRange) {
  EXPECT_EQ(message("0"), "--steps: 0 is out of range (allowed: 1 to 1000)");
  EXPECT_EQ(message("99999999999999999999"),
            "--steps: 99999999999999999999 is out of range (allowed: 1 to 1000)");
}

TEST(Numbers, ReadsFiniteNumbers) {
  EXPECT_DOUBLE_EQ(parse_number("x", "7.5", 0, 100), 7.5);
  EXPECT_DOUBLE_EQ(parse_number("x", "1e1", 0, 100), 10);
  for (const char* text : {"nan", "inf", "-inf", "7.5x", "", "1e999", "-0.1"})
    EXPECT_THROW(parse_number("x", text, 0, 100), UsageError) << text;
}

TEST(Numbers, PrintsThemAsPeopleWriteThem) {
  EXPECT_EQ(number_text(7.5), "7.5");
  EXPECT_EQ(number_text(30), "30");
  EXPECT_EQ(number_text(4294967295), "4294967295");
  EXPECT_EQ(bytes_text(1'500'000'000), "1.50 GB");
  EXPECT_EQ(duration_text(64.4), "1:04");
  EXPECT_EQ(duration_text(3600 + 62), "1:01:02");
}

TEST(Numbers, ReadsLists) {
  EXPECT_EQ(parse_numbers("--sigmas", "14.6,7,0", 0, 100), (std::vector<double>{14.6, 7, 0}));
  for (const char* text : {"", "1,", ",1", "1,,2", "1,x", "1;2", "1,101"})
    EXPECT_THROW(parse_numbers("--sigmas", text, 0, 100), UsageError) << text;
}

}  // namespace
}  // namespace darkroom
