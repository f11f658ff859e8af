#include <cstdio>
#include <ctime>
#include <iomanip>
#include <sstream>

#include "darkroom/base/error.h"
#include "support/temporary_folder.h"
#include "text/recorded.h"

namespace darkroom {
namespace {

using Ids = std::vector<int64_t>;

const std::filesystem::path kMerges = std::filesystem::path(DARKROOM_SOURCE_DIR) / "models/emoji/merges.txt";
constexpr int64_t kBegin = 49406, kEnd = 49407;

// Loading takes some milliseconds; the tests share one of each.
const Tokenizer& end_padded() {
  static const auto kTokenizer = make_clip_tokenizer(kMerges, Padding::end);
  return *kTokenizer;
}
const Tokenizer& zero_padded() {
  static const auto kTokenizer = make_clip_tokenizer(kMerges, Padding::zero);
  return *kTokenizer;
}

// 64-bit FNV-1a over the ids, each as four little-endian bytes; as in goldens/record_tokenizer.py.
void hash_ids(const Ids& ids, uint64_t& state) {
  for (const int64_t id : ids) {
    for (int byte = 0; byte < 4; ++byte) state = (state ^ (id >> 8 * byte & 0xFF)) * 0x100000001B3;
  }
}
constexpr uint64_t kHashOfNothing = 0xCBF29CE484222325;

std::string hex(uint64_t value) {
  std::ostringstream text;
  text << std::hex << std::setfill('0') << std::setw(16) << value;
  return text.str();
}

// Equal to transformers 5.23's CLIPTokenizer.
TEST(ClipTokenizer, GivesThePublishedIds) {
  const std::pair<std::string, Ids> table[] = {
      {"a photo of an astronaut riding a horse on mars",
       {320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496}},
      {"You should've done this", {592, 1535, 1200, 1700, 589}},
      {"! !! !!!", {256, 748, 995}},
      {"hello world", {3306, 1002}},
      {"Hello,   WORLD!!", {3306, 267, 1002, 748}},
      {"it's they're i'd we'll", {585, 568, 889, 982, 328, 1896, 649, 1342}},
      {"don’t", {847, 728, 503, 339}},
      {"2048x1024 4k", {273, 271, 275, 279, 343, 272, 271, 273, 275, 275, 330}},
      {"caf\u00E9", {15304}},
      {"cafe\u0301", {15304}},
      {"日本語", {39121, 44353, 34002, 508}},
      {"😀", {7334}},
      {"½ ² ①", {33613, 41175, 158, 239, 510}},
      {"ＡＢ", {171, 121, 223, 171, 121, 480}},
      {"a_b-c", {320, 318, 321, 268, 322}},
      {"", {}},
      {"a\n'll 11p223RF☆ho!!to? of a cat",
       {320, 1342, 272, 272, 335, 273, 273, 274, 16368, 13439, 2971, 748, 531, 286, 539, 320, 2368}},
      {"(masterpiece:1.2), best quality", {263, 12066, 281, 272, 269, 273, 2361, 949, 3027}},
      {"supercalifragilisticexpialidocious", {1642, 2857, 13093, 2076, 5868, 26850, 835, 639, 38466}},
      {"STRASSE straße", {1894, 8938, 1894, 127, 253, 324}},
      {"it'ſ", {585, 262, 129, 379}},
      {"a<|endoftext|>b", {320, kEnd, 321}},
  };
  for (const auto& [text, ids] : table) EXPECT_EQ(tokenize(end_padded(), text), ids) << text;
  EXPECT_EQ(tokenize(zero_padded(), "! !! !!!"), (Ids{0, 0, 0, 0, 0, 0}));
}

TEST(ClipTokenizer, AgreesWithTransformersOnTheCorpus) {
  const nlohmann::json corpus = golden_json("tokenizer_corpus.json");
  ASSERT_GT(corpus["tokenized"].size(), 150u);
  for (const nlohmann::json& row : corpus["tokenized"]) {
    const std::string text = row["text"];
    EXPECT_EQ(tokenize(end_padded(), text), row["end"].get<Ids>()) << row["text"];
    EXPECT_EQ(tokenize(zero_padded(), text), row[row.contains("zero") ? "zero" : "end"].get<Ids>())
        << row["text"];
  }
}

TEST(ClipTokenizer, FramesTruncatesAndPadsAsTransformersDoes) {
  const nlohmann::json corpus = golden_json("tokenizer_corpus.json");
  ASSERT_GE(corpus["framed"].size(), 7u);
  for (const nlohmann::json& row : corpus["framed"]) {
    const std::string text = row["text"];
    EXPECT_EQ(encode(end_padded(), text), row["end"].get<Ids>()) << row["text"];
    EXPECT_EQ(encode(zero_padded(), text), row["zero"].get<Ids>()) << row["text"];
  }
}

TEST(ClipTokenizer, AgreesWithTransformersOnTenThousandCaptions) {
  std::ifstream file(golden("tokenizer_captions.txt"));
  std::string hash, caption;
  int count = 0, wrong = 0;
  size_t bytes = 0;
  std::clock_t clocks = 0;
  while (file >> hash && file.get() && std::getline(file, caption)) {
    uint64_t state = kHashOfNothing;
    const std::clock_t start = std::clock();
    const std::vector<int64_t> ids = tokenize(end_padded(), caption);
    clocks += std::clock() - start;
    bytes += caption.size();
    hash_ids(ids, state);
    hash_ids(tokenize(zero_padded(), caption), state);
    ++count;
    if (hex(state) != hash && ++wrong <= 10) ADD_FAILURE() << "line " << count << ": " << caption;
  }
  EXPECT_EQ(count, 10'000);
  EXPECT_EQ(wrong, 0);
  std::printf("captions: %.1f MB/s\n",
              static_cast<double>(bytes) / 1e6 / (static_cast<double>(clocks) / CLOCKS_PER_SEC));
}

std::string utf8(char32_t c) {
  const auto byte = [](char32_t bits) { return static_cast<char>(bits); };
  const auto tail = [&](int shift) { return byte(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {byte(0xE0 | c >> 12), tail(6), tail(0)};
  return {byte(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

// The recorded text around a code point tells its class, its lower case, its composition and its place among
// marks. A system with a newer utf8proc than 2.8 may know marks that the reference does not: see
// src/text/clip_characters.cpp.
TEST(ClipTokenizer, AgreesWithTransformersOnEveryCodePoint) {
  std::ifstream file(golden("tokenizer_code_points.txt"));
  std::string first, hash;
  int blocks = 0;
  for (; file >> first >> hash; ++blocks) {
    const auto begin = static_cast<char32_t>(std::stoul(first, nullptr, 16));
    uint64_t state = kHashOfNothing;
    for (char32_t c = begin; c < begin + 4096; ++c) {
      const std::string it = utf8(c);
      hash_ids(tokenize(end_padded(), "a" + it + "- q\u0345" + it + " q" + it + "\u0301"), state);
    }
    EXPECT_EQ(hex(state), hash) << "the 4096 code points from U+" << first;
  }
  EXPECT_GT(blocks, 60);
}

// A file of the first rules is a vocabulary of its own: its special tokens follow its last rule.
class ClipMergesFile : public ::testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(path_) << text; }

  std::string first_lines(int count) {
    std::ifstream file(kMerges);
    std::string text, line;
    for (int i = 0; i < count && std::getline(file, line); ++i) text += line + "\n";
    return text;
  }

  std::string error() {
    try {
      make_clip_tokenizer(path_, Padding::end);
    } catch (const ModelError& error) {
      return error.what();
    }
    return "no error";
  }

  testing::TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_.path() / "merges.txt";
};

TEST_F(ClipMergesFile, MayHoldAReducedVocabulary) {
  write(first_lines(1 + 486));
  const auto tokenizer = make_clip_tokenizer(path_, Padding::end, 7);
  EXPECT_EQ(encode(*tokenizer, "the!"), (Ids{998, 518, 256, 999, 999, 999, 999}));
}

TEST_F(ClipMergesFile, OfOpenAiIsReadAsFarAsTheVocabularyGoes) {
  std::string rules = first_lines(1 + 48894);
  rules = rules.substr(rules.find('\n') + 1);
  write("\"bpe_simple_vocab_16e6.txt#version: 0.2\n" + rules + "jekyll jekyll</w>\n");
  EXPECT_EQ(encode(*make_clip_tokenizer(path_, Padding::end), "a cat"), encode(end_padded(), "a cat"));
}

TEST_F(ClipMergesFile, IsRefusedWithFileAndLineIfItIsNone) {
  EXPECT_EQ(error(), path_.string() + ": cannot be read, or is empty");
  write("{\"version\": 1}\n");
  EXPECT_EQ(error(), path_.string() + ":1: not a list of merge rules: it begins with no #version line");
  write("#version: 0.2\n");
  EXPECT_EQ(error(), path_.string() + ": holds no merge rule");
  write("#version: 0.2\ni n\nin\n");
  EXPECT_EQ(error(), path_.string() + ":3: \"in\" is no pair of symbols");
  write("#version: 0.2\ni n\nth e</w>\n");
  EXPECT_EQ(error(), path_.string() + ":3: \"th e</w>\" uses a symbol that no earlier rule makes");
  write("#version: 0.2\ni n\ni n\n");
  EXPECT_EQ(error(), path_.string() + ":3: \"i n\" makes a symbol that exists already");
}

TEST(ClipTokenizer, RefusesALengthWithoutRoomForAWord) {
  EXPECT_THROW(make_clip_tokenizer(kMerges, Padding::end, 2), ModelError);
}

TEST(ClipTokenizer, MakesReplacementCharactersOfInvalidBytes) {
  testing::Collected diagnostics;
  EXPECT_EQ(end_padded().tokenize("a\xFF", diagnostics, "prompt"), tokenize(end_padded(), "a\uFFFD"));
  ASSERT_EQ(diagnostics.warnings.size(), 1u);
  EXPECT_EQ(diagnostics.warnings[0].kind, "invalid_utf8");
}

}  // namespace
}  // namespace darkroom
