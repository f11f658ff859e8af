#include "app/lora_text.h"

#include <gtest/gtest.h>

#include <fstream>

#include "darkroom/base/error.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

TEST(LoraText, IsAFileAndAWeight) {
  const std::map<std::string, Lora> wanted = {
      {"style.safetensors", {"style.safetensors", 1}},
      {"style.safetensors:0.5", {"style.safetensors", 0.5}},
      {"style.safetensors:-1", {"style.safetensors", -1}},
      {"style.safetensors:1e-3", {"style.safetensors", 0.001}},
      {"style.safetensors:0", {"style.safetensors", 0}},
      {R"(C:\loras\style.safetensors)", {R"(C:\loras\style.safetensors)", 1}},
      {R"(C:\loras\style.safetensors:0.25)", {R"(C:\loras\style.safetensors)", 0.25}},
      {"a:b.safetensors", {"a:b.safetensors", 1}},
      {"a:2:0.5", {"a:2", 0.5}},
      {"with space, comma.safetensors:.5", {"with space, comma.safetensors", 0.5}},
      {"x.safetensors:", {"x.safetensors:", 1}},
      {":0.5", {":0.5", 1}},
      {"x:0.5x", {"x:0.5x", 1}},
      {"x:nan", {"x:nan", 1}},
      {"\xff\xfe:2", {"\xff\xfe", 2}}};
  for (const auto& [text, lora] : wanted) {
    EXPECT_EQ(parse_lora("--lora", text), lora) << text;
    EXPECT_EQ(parse_lora("--lora", lora_text(lora)), lora) << text;
  }
}

std::string refusal(const std::string& text) {
  try {
    parse_lora("--lora", text);
  } catch (const UsageError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no UsageError for " << text;
  return "";
}

TEST(LoraText, AWeightThatIsNoneIsRefused) {
  const testing::TemporaryFolder folder;
  const std::string file = folder.path() / "x.safetensors";
  std::ofstream(file) << "x";
  EXPECT_EQ(refusal(file + ":half"), "--lora: weight: 'half' is not a number (allowed: -100 to 100)");
  EXPECT_EQ(refusal(file + ":"), "--lora: weight: '' is not a number (allowed: -100 to 100)");
  EXPECT_EQ(refusal(file + ":inf"), "--lora: weight: inf is out of range (allowed: -100 to 100)");
  EXPECT_EQ(refusal("gone.safetensors:101"), "--lora: weight: 101 is out of range (allowed: -100 to 100)");
  EXPECT_EQ(refusal(""), "--lora: no file is named");
}

TEST(LoraText, AFileMayBeNamedLikeAWeight) {
  const testing::TemporaryFolder folder;
  const std::string file = folder.path() / "x", odd = file + ":half";
  std::ofstream(file) << "x";
  std::ofstream(odd) << "x";
  EXPECT_EQ(parse_lora("--lora", odd), (Lora{odd, 1}));
}

}  // namespace
}  // namespace darkroom
