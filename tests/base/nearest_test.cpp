#include "darkroom/base/nearest.h"

#include <gtest/gtest.h>

namespace darkroom {
namespace {

const std::vector<std::string> kSamplers = {"ddim", "ddpm", "dpmpp_2m", "euler", "heun"};

TEST(NearestName, FindsSlipsOfTheKeyboard) {
  EXPECT_EQ(nearest_name("eular", kSamplers), "euler");
  EXPECT_EQ(nearest_name("dppm", kSamplers), "ddpm");
  EXPECT_EQ(nearest_name("ddmi", kSamplers), "ddim");
  EXPECT_EQ(nearest_name("dpmp_2m", kSamplers), "dpmpp_2m");
  EXPECT_EQ(nearest_name("dpmpp_2ms", kSamplers), "dpmpp_2m");
}

TEST(NearestName, IgnoresCase) { EXPECT_EQ(nearest_name("EULER", kSamplers), "euler"); }

TEST(NearestName, TakesTheFirstOfEquallyNearNames) { EXPECT_EQ(nearest_name("ddxm", kSamplers), "ddim"); }

TEST(NearestName, OffersNothingForAnotherWord) {
  EXPECT_EQ(nearest_name("unipc", kSamplers), "");
  EXPECT_EQ(nearest_name("eulxyz", kSamplers), "");  // 3 of 6 letters
  EXPECT_EQ(nearest_name("euler", {}), "");
}

TEST(UnknownName, NamesWhatIsAllowed) {
  EXPECT_EQ(unknown_name("sampler", "eular", {"ddim", "euler"}),
            "unknown sampler 'eular'; did you mean 'euler'? (allowed: ddim, euler)");
  EXPECT_EQ(unknown_name("sampler", "magic", {"ddim", "euler"}),
            "unknown sampler 'magic' (allowed: ddim, euler)");
  const std::vector<std::string> many(13, "euler");
  EXPECT_EQ(unknown_name("sampler", "eular", many), "unknown sampler 'eular'; did you mean 'euler'?");
  EXPECT_NE(unknown_name("sampler", "magic", many).find("(allowed: euler, "), std::string::npos);
}

}  // namespace
}  // namespace darkroom
