#include "darkroom/image/png.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>

#include "darkroom/base/error.h"
#include "image/png_chunk.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#include <stb/stb_image.h>

namespace darkroom {
namespace {

namespace fs = std::filesystem;

/// Rows of every kind: a flat part, a slope and noise, so that stb uses several filters.
Image picture(int width, int height) {
  Image image{width, height, std::vector<uint8_t>(static_cast<size_t>(width * height) * 3)};
  std::mt19937 random(7);
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    const size_t row = i / (3 * static_cast<size_t>(width));
    image.rgb[i] = static_cast<uint8_t>(row % 3 == 0 ? 200 : row % 3 == 1 ? i : random());
  }
  return image;
}

/// The same picture, from bytes, as another program reads it.
Image decoded(const std::vector<uint8_t>& bytes) {
  Image image;
  int channels = 0;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &image.width, &image.height,
                            &channels, 0),
      stbi_image_free);
  EXPECT_EQ(channels, 3);
  if (pixels) image.rgb.assign(pixels.get(), pixels.get() + image.width * image.height * 3);
  return image;
}

std::vector<std::string> types_of(const std::vector<uint8_t>& bytes) {
  std::vector<std::string> types;
  for (const PngChunk& chunk : png_chunks(bytes)) types.push_back(chunk.type);
  return types;
}

class PngTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::path(testing::TempDir()) / "darkroom-png-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::vector<PngText> texts_of(const std::vector<uint8_t>& bytes) const {
    std::ofstream(folder_ / "a.png", std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return read_png_texts(folder_ / "a.png");
  }
  /// The error that reading these bytes gives, less the part that names the file; "" if they are taken.
  std::string fault(const std::vector<uint8_t>& bytes) const {
    const std::string start = "'" + (folder_ / "a.png").string() + "' is no whole PNG file: ";
    try {
      texts_of(bytes);
      return "";
    } catch (const UsageError& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.substr(0, start.size()), start);
      return message.substr(start.size());
    }
  }
  /// The same for a picture with this chunk after IHDR.
  std::string chunk_fault(const std::string& type, const std::string& data) const {
    const std::vector<uint8_t> whole = encode_png(picture(1, 1), {});
    std::vector<uint8_t> bytes(whole.begin(), whole.begin() + kPngStart);
    append_png_chunk(type, data, bytes);
    bytes.insert(bytes.end(), whole.begin() + kPngStart, whole.end());
    return fault(bytes);
  }

  fs::path folder_;
};

TEST_F(PngTest, KeepsEveryPixel) {
  for (const auto& [width, height] : {std::pair{1, 1}, {3, 5}, {64, 64}, {257, 129}, {1, 300}, {300, 1}}) {
    const Image image = picture(width, height);
    const Image again = decoded(encode_png(image, {}));
    EXPECT_EQ(again.width, width);
    EXPECT_EQ(again.height, height);
    EXPECT_TRUE(again.rgb == image.rgb) << width << "x" << height;
  }
}

TEST_F(PngTest, RefusesPicturesOfTheWrongSize) {
  Image image = picture(3, 5);
  image.rgb.pop_back();
  EXPECT_THROW(encode_png(image, {}), BugError);
  EXPECT_THROW(encode_png({3, 0, {}}, {}), BugError);
  EXPECT_THROW(encode_png({-3, 5, std::vector<uint8_t>(45)}, {}), BugError);
}

TEST_F(PngTest, KeepsEveryText) {
  const std::vector<PngText> texts = {{"parameters", "a caf\u00e9\nSteps: 1"}, {"Title \u00e9", ""},
                                      {"parameters", "\u96ea \U0001F34E"},     {"control", "\u0085"},
                                      {"long", std::string(3 << 20, 'x')},     {"XML:com.adobe.xmp", "<x/>"}};
  const std::vector<uint8_t> bytes = encode_png(picture(3, 5), texts);
  EXPECT_EQ(texts_of(bytes), texts);
  EXPECT_EQ(types_of(bytes), (std::vector<std::string>{"IHDR", "tEXt", "tEXt", "iTXt", "iTXt", "tEXt", "iTXt",
                                                       "IDAT", "IEND"}));
  EXPECT_TRUE(decoded(bytes).rgb == picture(3, 5).rgb);
}

TEST_F(PngTest, WritesLatin1InOneByteACharacter) {
  const std::vector<uint8_t> bytes = encode_png(picture(1, 1), {{"k", "\u00a0\u00bf\u00c0\u00ff"}});
  const PngChunk text = png_chunks(bytes)[1];
  EXPECT_EQ(std::string(text.data.begin(), text.data.end()), std::string("k\0\xA0\xBF\xC0\xFF", 6));
}

TEST_F(PngTest, ReplacesWhatTextCannotHold) {
  EXPECT_EQ(texts_of(encode_png(picture(1, 1), {{"k", std::string("a\0b", 3)}})),
            (std::vector<PngText>{{"k", "a\uFFFDb"}}));
}

TEST_F(PngTest, RefusesKeywordsThatPngForbids) {
  const auto encode = [](const std::string& keyword) {
    return encode_png(picture(1, 1), {{keyword, "text"}});
  };
  EXPECT_NO_THROW(encode(std::string(79, 'k')));
  for (const std::string& keyword :
       {std::string(), std::string(80, 'k'), std::string(" k"), std::string("k "), std::string("k  k"),
        std::string("\u96ea"), std::string("k\nk"), std::string("k\u00a0k"), std::string("k\0k", 3)})
    EXPECT_THROW(encode(keyword), BugError) << "'" << keyword << "'";
}

/// texts.png was written by Pillow 13.0.0: tEXt, zTXt, iTXt and compressed iTXt.
TEST_F(PngTest, ReadsTextsOfAnotherProgram) {
  std::string snow;
  for (int i = 0; i < 300; ++i) snow += "\u96ea";
  EXPECT_EQ(read_png_texts(fs::path(DARKROOM_TEST_DATA) / "image" / "texts.png"),
            (std::vector<PngText>{{"Title", "caf\u00e9"},
                                  {"Comment", std::string(300, 'Z')},
                                  {"parameters", "snow \u96ea"},
                                  {"long", snow}}));
}

TEST_F(PngTest, NamesThePlaceOfDamage) {
  const std::vector<uint8_t> whole = encode_png(picture(3, 5), {{"key", "text"}});
  EXPECT_EQ(fault({}), "does not start with a PNG signature");
  EXPECT_EQ(fault({whole.begin(), whole.begin() + 33}), "ends at byte 33, before chunk IEND");
  EXPECT_EQ(fault({whole.begin(), whole.begin() + 50}),
            "chunk tEXt at byte 33 is to have 8 bytes, the file has 5 more");
  std::vector<uint8_t> damaged = whole;
  damaged[42] ^= 1;
  EXPECT_EQ(fault(damaged), "chunk tEXt at byte 33 has a wrong CRC");
  damaged = whole;
  damaged[37] = 0;
  EXPECT_EQ(fault(damaged), "has no chunk at byte 33");
  damaged.assign(whole.begin(), whole.begin() + 8);
  damaged.insert(damaged.end(), whole.begin() + 33, whole.end());
  EXPECT_EQ(fault(damaged), "chunk tEXt at byte 8 stands where IHDR belongs");
  damaged = whole;
  damaged.push_back('x');  // as viewers do, what follows IEND is left alone
  EXPECT_EQ(fault(damaged), "");
}

TEST_F(PngTest, FindsEveryCutAndEveryFlippedBit) {
  const std::vector<uint8_t> whole = encode_png(picture(3, 5), {{"key", "text"}, {"key", "\u96ea"}});
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(png_chunks(std::span(whole).first(size)), PngFault) << size;
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::vector<uint8_t> damaged = whole;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_THROW(png_chunks(damaged), PngFault) << bit;
  }
}

TEST_F(PngTest, RefusesMalformedTexts) {
  using namespace std::string_literals;
  EXPECT_EQ(chunk_fault("tEXt", "no nul"), "chunk tEXt at byte 33 is cut short");
  EXPECT_EQ(chunk_fault("zTXt", "k\0"s), "chunk zTXt at byte 33 is cut short");
  EXPECT_EQ(chunk_fault("zTXt", "k\0\1"s), "chunk zTXt at byte 33 has an unknown compression method");
  EXPECT_EQ(chunk_fault("zTXt", "k\0\0damaged"s), "chunk zTXt at byte 33 has damaged compressed text");
  EXPECT_EQ(chunk_fault("iTXt", "k\0\0"s), "chunk iTXt at byte 33 is cut short");
  EXPECT_EQ(chunk_fault("iTXt", "k\0\0\0en"s), "chunk iTXt at byte 33 is cut short");
  EXPECT_EQ(chunk_fault("iTXt", "k\0\0\0en\0t"s), "chunk iTXt at byte 33 is cut short");
  EXPECT_EQ(chunk_fault("iTXt", "k\0\0\0\0\0"s), "");
}

/// The pixels of a large flat picture are a handy zlib stream: 200 KB that inflate to 67 MB, more than 64
/// MiB.
TEST_F(PngTest, BoundsWhatTextsInflateTo) {
  const Image flat{4096, 5500, std::vector<uint8_t>(size_t{4096} * 5500 * 3)};
  const std::vector<uint8_t> encoded = encode_png(flat, {});
  const PngChunk idat = png_chunks(encoded)[1];
  EXPECT_EQ(chunk_fault("zTXt", std::string("k\0\0", 3) + std::string(idat.data.begin(), idat.data.end())),
            "chunk zTXt at byte 33 inflates to more than is allowed");
}

TEST_F(PngTest, MissingFilesAreNamed) { EXPECT_THROW(read_png_texts(folder_ / "none.png"), UsageError); }

}  // namespace
}  // namespace darkroom
