#include "text/added_words.h"

#include "text/recorded.h"

namespace darkroom {
namespace {

using Ids = std::vector<int64_t>;

const std::filesystem::path kMerges = std::filesystem::path(DARKROOM_SOURCE_DIR) / "models/emoji/merges.txt";

class AddedWords : public ::testing::Test {
 protected:
  static std::unique_ptr<Tokenizer> clip() { return make_clip_tokenizer(kMerges, Padding::end); }

  Ids ids(const std::string& text) { return tokenizer_->tokenize(text, diagnostics_, ""); }
  Ids plain(const std::string& text) { return base_->tokenize(text, diagnostics_, ""); }
  static Ids joined(const std::vector<Ids>& parts) {
    Ids all;
    for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  }

  const std::unique_ptr<Tokenizer> base_ = clip();
  const std::unique_ptr<Tokenizer> tokenizer_ = with_added_words(
      *base_,
      {{{"sks", "<sks>"}, 50000, 1}, {{"Café-2"}, 50001, 3}, {{"sks dog"}, 50004, 2}, {{"<cat"}, 50006, 1}});
  testing::Collected diagnostics_;
};

TEST_F(AddedWords, StandForTheirIds) {
  EXPECT_EQ(ids("a sks cat"), joined({plain("a"), {50000}, plain("cat")}));
  EXPECT_EQ(ids("sks"), Ids{50000});
  EXPECT_EQ(ids("SKS,sks"), joined({{50000}, plain(","), {50000}}));
  EXPECT_EQ(ids("<sks>s"), joined({{50000}, plain("s")}));
  EXPECT_EQ(ids("(cafÉ-2)"), joined({plain("("), {50001, 50002, 50003}, plain(")")}));
  EXPECT_EQ(ids("a sks dog"), joined({plain("a"), {50004, 50005}}));
  EXPECT_EQ(ids("a sks  dog"), joined({plain("a"), {50000}, plain("dog")}));
  EXPECT_EQ(ids("photo-of-sks's 2sks3"),
            joined({plain("photo-of-"), {50000}, plain("'s 2"), {50000}, plain("3")}));
  EXPECT_EQ(ids("\xff sks").back(), 50000);
  EXPECT_EQ(diagnostics_.warnings.size(), 1u);
}

TEST_F(AddedWords, AreNoPartsOfOtherWords) {
  for (const char* text :
       {"", " ", "asks", "sksa", "äsks", "sksé", "café", "café-", "cafe-2", "sk", "<", "< cat", "日sks"})
    EXPECT_EQ(ids(text), plain(text)) << text;
  EXPECT_EQ(ids("x<cat"), joined({plain("x"), {50006}}));
  EXPECT_EQ(ids("<cats"), plain("<cats"));
}

TEST_F(AddedWords, MayComeFromFilesOfAnyName) {
  const auto odd = with_added_words(*base_, {{{"caf\xE9", ""}, 50000, 1}});
  EXPECT_EQ(odd->tokenize("a caf\xE9.", diagnostics_, ""), joined({plain("a"), {50000}, plain(".")}));
  EXPECT_EQ(odd->tokenize("a cat", diagnostics_, ""), plain("a cat"));
}

TEST_F(AddedWords, LeaveTheTextBetweenAsItIs) {
  const nlohmann::json corpus = golden_json("tokenizer_corpus.json")["tokenized"];
  const auto unused = with_added_words(*base_, {{{"\xF0\x9F\xA6\xA9\xF0\x9F\xA6\xA9"}, 50000, 1}});
  ASSERT_GT(corpus.size(), 100u);
  for (const nlohmann::json& row : corpus) {
    const std::string text = row["text"];
    EXPECT_FALSE(holds_word(text, {"\xF0\x9F\xA6\xA9\xF0\x9F\xA6\xA9"}));
    EXPECT_EQ(unused->tokenize(text, diagnostics_, ""), plain(text)) << text;
  }
}

TEST_F(AddedWords, OfSeveralIdsAreTogether) {
  EXPECT_EQ(tokenizer_->together(50001), 3u);
  EXPECT_EQ(tokenizer_->together(50002), 1u);
  EXPECT_EQ(tokenizer_->together(50000), 1u);
  EXPECT_EQ(tokenizer_->together(320), 1u);
  std::string text;
  for (int i = 0; i < 74; ++i) text += "a ";
  const auto first_ids = [&](Chunking chunking) {
    const std::vector<Chunk> chunks =
        make_chunks(*tokenizer_, {{text + "café-2 a", 1}}, chunking, diagnostics_, "");
    return joined({{chunks[0].ids.end() - 2, chunks[0].ids.end()},
                   {chunks[1].ids.begin() + 1, chunks[1].ids.begin() + 4}});
  };
  const int64_t a = plain("a").front(), end = base_->framed({}).back();
  EXPECT_EQ(first_ids(Chunking::commas), (Ids{end, end, 50001, 50002, 50003}));
  EXPECT_EQ(first_ids(Chunking::slices), (Ids{50001, end, 50002, 50003, a}));
  EXPECT_EQ(first_ids(Chunking::sentences), (Ids{end, end, 50001, 50002, 50003}));
}

TEST_F(AddedWords, OfAMegabyteAreFoundAtOnce) {
  std::string text;
  while (text.size() < 1'000'000) text += "<ca é sk ";
  EXPECT_EQ(ids(text), plain(text));
}

}  // namespace
}  // namespace darkroom
