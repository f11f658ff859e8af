#include "app/naming.h"

#include <gtest/gtest.h>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

std::string refusal(const std::string& name) {
  try {
    check_template(name);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Slug, IsSafeOnAnyFileSystem) {
  EXPECT_EQ(slug("A slice of Pizza, on teal!"), "a-slice-of-pizza-on-teal");
  EXPECT_EQ(slug("../../etc/passwd"), "etc-passwd");
  EXPECT_EQ(slug("caf\xC3\xA9 \xE2\x98\x95"), "caf");
  EXPECT_EQ(slug(""), "image");
  EXPECT_EQ(slug("\xE7\x8C\xAB"), "image");
  EXPECT_EQ(slug("CON"), "con-image");
  EXPECT_EQ(slug("lpt1"), "lpt1-image");
  EXPECT_EQ(slug("console"), "console");
  EXPECT_EQ(slug(std::string("a\0b", 3)), "a-b");
}

TEST(Slug, IsBounded) {
  EXPECT_EQ(slug(std::string(1'000'000, 'x')), std::string(48, 'x'));
  const std::string words = slug("the quick brown fox jumps over the lazy dog and runs away");
  EXPECT_EQ(words, "the-quick-brown-fox-jumps-over-the-lazy-dog-and");
  EXPECT_EQ(slug("one two", 5), "one");
}

TEST(Template, RefusesWhatItCannotName) {
  EXPECT_EQ(refusal("{index}-{slug}-{seed}.png"), "");
  EXPECT_EQ(refusal("{id}/{seed}.png"), "");
  EXPECT_NE(refusal("{sed}.png").find("unknown placeholder 'sed'; did you mean 'seed'?"), std::string::npos);
  EXPECT_NE(refusal("{seed.png").find("'{' is never closed"), std::string::npos);
  EXPECT_NE(refusal("{seed}.jpg").find("must end in .png"), std::string::npos);
  for (const char* name : {"../{seed}.png", "a/../../{seed}.png", "/tmp/{seed}.png"})
    EXPECT_NE(refusal(name).find("must lie in the output folder"), std::string::npos) << name;
  for (const char* name : {".png", "a/.png"})
    EXPECT_NE(refusal(name).find("names no file"), std::string::npos) << name;
}

TEST(Template, IsExpanded) {
  const NameValues values = {{"index", "00007"}, {"slug", "a-cat"}, {"seed", "5"}};
  EXPECT_EQ(expand_template("{index}-{slug}-{seed}.png", values), "00007-a-cat-5.png");
  EXPECT_EQ(expand_template("x{seed}y{seed}.png", values), "x5y5.png");
  EXPECT_THROW(expand_template(std::string(300, 'x') + "{seed}.png", values), UsageError);
}

}  // namespace
}  // namespace darkroom
