#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include "darkroom/base/error.h"
#include "support/temporary_folder.h"
#include "text/recorded.h"

namespace darkroom {
namespace {

using Ids = std::vector<int64_t>;

TEST(SentencePieceTokenizer, AgreesWithThePythonPackage) {
  const auto tokenizer = make_sentencepiece_tokenizer(golden("tokenizer_sentencepiece.model"), 77);
  const nlohmann::json recorded = golden_json("tokenizer_sentencepiece.json");
  ASSERT_GT(recorded["sentences"].size(), 20u);
  for (const nlohmann::json& row : recorded["sentences"]) {
    const std::string text = row["text"];
    EXPECT_EQ(tokenize(*tokenizer, text), row["ids"].get<Ids>()) << row["text"];
    if (row.contains("framed")) {
      EXPECT_EQ(encode(*tokenizer, text), row["framed"].get<Ids>()) << row["text"];
    }
  }
}

// A model trained here, with T5's normaliser (nmt_nfkc) and T5's special ids.
class TrainedSentencePiece : public ::testing::Test {
 protected:
  void SetUp() override { model_ = train("0", "2"); }

  std::filesystem::path train(const std::string& pad_id, const std::string& unk_id) {
    const std::filesystem::path prefix = folder_.path() / "spiece";
    const std::string corpus = prefix.string() + ".txt";
    std::ofstream file(corpus);
    const std::vector<std::string> words = {"a",   "the", "cat",  "dog", "bird",
                                            "sat", "on",  "tree", "red", "Blue"};
    for (size_t i = 0; i < 400; ++i) {
      for (size_t k = 0; k < 8; ++k)
        file << words[(i * i + 3 * k * i + k) % words.size()] << (k == 7 ? "\n" : " ");
    }
    file.close();
    const auto status = sentencepiece::SentencePieceTrainer::Train({{"input", corpus},
                                                                    {"model_prefix", prefix.string()},
                                                                    {"model_type", "unigram"},
                                                                    {"vocab_size", "45"},
                                                                    {"hard_vocab_limit", "false"},
                                                                    {"pad_id", pad_id},
                                                                    {"eos_id", "1"},
                                                                    {"unk_id", unk_id},
                                                                    {"bos_id", "-1"},
                                                                    {"minloglevel", "3"}});
    EXPECT_TRUE(status.ok()) << status.ToString();
    return prefix.string() + ".model";
  }

  std::string decode(const Ids& ids) {
    sentencepiece::SentencePieceProcessor processor;
    EXPECT_TRUE(processor.Load(model_.string()).ok());
    std::string text;
    EXPECT_TRUE(processor.Decode(std::vector<int>(ids.begin(), ids.end()), &text).ok());
    return text;
  }

  testing::TemporaryFolder folder_;
  std::filesystem::path model_;
};

TEST_F(TrainedSentencePiece, FramesAsT5Does) {
  const auto tokenizer = make_sentencepiece_tokenizer(model_, 16);
  Ids expected = tokenize(*tokenizer, "the cat sat");
  EXPECT_EQ(decode(expected), "the cat sat");
  expected.push_back(1);
  expected.resize(16, 0);
  EXPECT_EQ(encode(*tokenizer, "the cat sat"), expected);
  EXPECT_EQ(encode(*tokenizer, ""), (Ids{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_F(TrainedSentencePiece, NormalisesAndPrependsASpace) {
  const auto tokenizer = make_sentencepiece_tokenizer(model_, 16);
  const Ids expected = tokenize(*tokenizer, "Blue cat");
  EXPECT_EQ(tokenize(*tokenizer, "  Blue \t cat  "), expected);
  EXPECT_EQ(tokenize(*tokenizer, "Ｂｌｕｅ\u3000cat"), expected);
}

TEST_F(TrainedSentencePiece, GivesOneUnknownIdToARunOfUnknownCharacters) {
  const auto tokenizer = make_sentencepiece_tokenizer(model_, 16);
  const Ids cat = tokenize(*tokenizer, "cat");
  Ids expected = cat;
  expected.push_back(2);
  EXPECT_EQ(tokenize(*tokenizer, "cat日本"), expected);
}

TEST(SentencePieceTokenizer, MakesReplacementCharactersOfInvalidBytes) {
  const auto tokenizer = make_sentencepiece_tokenizer(golden("tokenizer_sentencepiece.model"), 77);
  testing::Collected diagnostics;
  EXPECT_EQ(tokenizer->tokenize("cat\xFF", diagnostics, "prompt"), tokenize(*tokenizer, "cat\uFFFD"));
  ASSERT_EQ(diagnostics.warnings.size(), 1u);
  EXPECT_EQ(diagnostics.warnings[0].kind, "invalid_utf8");
}

TEST_F(TrainedSentencePiece, KeepsTheEndTokenWhenItTruncates) {
  Ids kept = tokenize(*make_sentencepiece_tokenizer(model_, 16), "the cat");
  const auto tokenizer = make_sentencepiece_tokenizer(model_, static_cast<int64_t>(kept.size()) + 1);
  testing::Collected diagnostics;
  const Ids ids = make_chunks(*tokenizer, {{"the cat the dog", 1}}, Chunking::truncate, diagnostics, "prompt")
                      .front()
                      .ids;
  ASSERT_EQ(diagnostics.warnings.size(), 1u);
  EXPECT_EQ(diagnostics.warnings[0].text, "the last 2 words are past the " + std::to_string(kept.size()) +
                                              "-token limit and are lost: \"the dog\"");
  kept.push_back(1);
  EXPECT_EQ(ids, kept);
}

TEST_F(TrainedSentencePiece, IsRefusedWithoutAPaddingToken) {
  EXPECT_THROW(make_sentencepiece_tokenizer(train("-1", "0"), 16), ModelError);
}

TEST(SentencePieceTokenizer, RefusesAFileThatIsNoModel) {
  EXPECT_THROW(make_sentencepiece_tokenizer("/nonexistent/spiece.model", 16), ModelError);
  EXPECT_THROW(make_sentencepiece_tokenizer(DARKROOM_TEST_DATA, 16), ModelError);
  EXPECT_THROW(make_sentencepiece_tokenizer(golden("tokenizer_sentencepiece.json"), 16), ModelError);
}

}  // namespace
}  // namespace darkroom
