#include "app/embedding_text.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "darkroom/base/error.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

TEST(EmbeddingText, IsAFileAndMayHaveAName) {
  const std::map<std::string, Embedding> wanted = {
      {"style.safetensors", {"style.safetensors"}},
      {"sks=style.safetensors", {"style.safetensors", "sks"}},
      {"<cat-toy>=a/learned=1.safetensors", {"a/learned=1.safetensors", "<cat-toy>"}},
      {"my style=with space.safetensors", {"with space.safetensors", "my style"}},
      {"a/b=c.safetensors", {"a/b=c.safetensors"}},
      {"/a=b.safetensors", {"/a=b.safetensors"}},
      {"caf\xc3\xa9=\xff.safetensors", {"\xff.safetensors", "caf\xc3\xa9"}}};
  for (const auto& [text, embedding] : wanted) {
    EXPECT_EQ(parse_embedding("--embedding", text), embedding) << text;
    EXPECT_EQ(parse_embedding("--embedding", embedding_text(embedding)), embedding) << text;
  }
  EXPECT_EQ(parse_embedding("--embedding", " sks = x").name, "sks");
}

TEST(EmbeddingText, WithoutANameOrAFileIsRefused) {
  for (const char* text : {"", "=x.safetensors", " =x.safetensors", "sks="})
    EXPECT_THROW(parse_embedding("--embedding", text), UsageError) << text;
}

TEST(EmbeddingText, AFileMayBeNamedLikeBoth) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::ofstream("a=b") << "x";
  EXPECT_EQ(parse_embedding("--embedding", "a=b"), (Embedding{"a=b"}));
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace darkroom
