#include "text/chunks.h"

#include "text/attention.h"
#include "text/compel_syntax.h"
#include "text/recorded.h"

namespace darkroom {
namespace {

const std::filesystem::path kMerges = std::filesystem::path(DARKROOM_SOURCE_DIR) / "models/emoji/merges.txt";

std::vector<Chunk> chunks_of(const std::vector<WeightedPrompt>& parts, Chunking chunking, Padding padding) {
  static const auto kEnd = make_clip_tokenizer(kMerges, Padding::end),
                    kZero = make_clip_tokenizer(kMerges, Padding::zero);
  testing::Collected diagnostics;
  return make_chunks(padding == Padding::end ? *kEnd : *kZero, parts, chunking, diagnostics, "prompt");
}

using Weights = std::vector<double>;

// goldens/record_prompts.py: A1111's rule, transcribed as slices of the whole prompt.
TEST(Chunks, PartAsA1111Does) {
  const nlohmann::json recorded = golden_json("prompts.json");
  ASSERT_GT(recorded["chunks"].size(), 20u);
  for (const nlohmann::json& row : recorded["chunks"]) {
    const std::vector<WeightedPrompt> parts = parse_attention(row["text"].get<std::string>());
    const std::vector<Chunk> chunks =
        chunks_of(parts, Chunking::commas, row["pad"] == "zero" ? Padding::zero : Padding::end);
    ASSERT_EQ(chunks.size(), row["ids"].size()) << row["text"];
    for (size_t i = 0; i < chunks.size(); ++i) {
      EXPECT_EQ(chunks[i].ids, row["ids"][i].get<std::vector<int64_t>>()) << row["text"] << " " << i;
      Weights weights;
      for (const int part : chunks[i].parts)
        weights.push_back(part == Chunk::kFrame ? 1 : parts[static_cast<size_t>(part)].weight);
      EXPECT_EQ(weights, row["weights"][i].get<Weights>()) << row["text"] << " " << i;
    }
  }
}

// goldens/record_compel.py
TEST(Chunks, PartAsCompelDoes) {
  const nlohmann::json recorded = golden_json("compel.json");
  ASSERT_GT(recorded["chunks"].size(), 4u);
  for (const nlohmann::json& row : recorded["chunks"]) {
    const std::vector<Chunk> chunks =
        chunks_of(parse_compel(row["text"].get<std::string>()), Chunking::sentences,
                  row["pad"] == "zero" ? Padding::zero : Padding::end);
    ASSERT_EQ(chunks.size(), row["ids"].size()) << row["text"];
    for (size_t i = 0; i < chunks.size(); ++i)
      EXPECT_EQ(chunks[i].ids, row["ids"][i].get<std::vector<int64_t>>()) << row["text"] << " " << i;
  }
}

std::string words(int count, const char* word) {
  std::string text;
  for (int i = 0; i < count; ++i) text += word;
  return text;
}

TEST(Chunks, AreFilledWhereCommasDoNotMatter) {
  const std::vector<WeightedPrompt> parts = {{words(70, "cat ") + ", " + words(80, "dog "), 1}};
  const std::vector<Chunk> filled = chunks_of(parts, Chunking::slices, Padding::end),
                           broken = chunks_of(parts, Chunking::commas, Padding::end);
  ASSERT_EQ(filled.size(), 3u);
  ASSERT_EQ(broken.size(), 3u);
  EXPECT_EQ(std::ranges::count(filled[0].parts, 0), 75);
  EXPECT_EQ(std::ranges::count(filled[2].parts, 0), 1);
  EXPECT_EQ(std::ranges::count(broken[0].parts, 0), 71);
  EXPECT_EQ(std::ranges::count(broken[2].parts, 0), 5);
}

TEST(Chunks, OfWhichOneIsKeptNameWhatIsLost) {
  const auto tokenizer = make_clip_tokenizer(kMerges, Padding::end, 12);
  const auto lost = [&](const char* text) {
    testing::Collected diagnostics;
    EXPECT_EQ(make_chunks(*tokenizer, parse_attention(text), Chunking::truncate, diagnostics, "").size(), 1u);
    return diagnostics.warnings.empty() ? "" : diagnostics.warnings.front().text;
  };
  EXPECT_EQ(lost("one two three (four five six:1.2) seven eight nine ten"), "");
  EXPECT_EQ(lost("one two three (four five six:1.2) seven eight nine (ten eleven:2)"),
            "the last word is past the 10-token limit and is lost: \"eleven\"");
  EXPECT_EQ(lost("one BREAK two three"),
            "the last 2 words are past the 10-token limit and are lost: \"two three\"");
  EXPECT_EQ(lost("one BREAK BREAK "), "");
}

TEST(Chunks, AreOneForNothing) {
  for (const Chunking chunking : {Chunking::truncate, Chunking::slices, Chunking::commas}) {
    const std::vector<Chunk> chunks = chunks_of({{"", 1}}, chunking, Padding::end);
    ASSERT_EQ(chunks.size(), 1u);
    EXPECT_EQ(std::ranges::count(chunks[0].parts, Chunk::kFrame), 77);
  }
}

}  // namespace
}  // namespace darkroom
