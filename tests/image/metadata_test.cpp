#include "darkroom/image/metadata.h"

#include <gtest/gtest.h>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

const std::vector<std::pair<std::string, std::string>> kPairs = {
    {"Steps", "20"}, {"Sampler", "DDIM"}, {"CFG scale", "7.5"}, {"Size", "512x512"}};

TEST(A1111Parameters, LaysOutThreeParts) {
  EXPECT_EQ(
      a1111_parameters("a red apple", "blurry, dark", kPairs),
      "a red apple\nNegative prompt: blurry, dark\nSteps: 20, Sampler: DDIM, CFG scale: 7.5, Size: 512x512");
}

TEST(A1111Parameters, LeavesOutWhatIsEmpty) {
  EXPECT_EQ(a1111_parameters("a red apple", "", kPairs),
            "a red apple\nSteps: 20, Sampler: DDIM, CFG scale: 7.5, Size: 512x512");
  EXPECT_EQ(a1111_parameters("", "", kPairs), "Steps: 20, Sampler: DDIM, CFG scale: 7.5, Size: 512x512");
}

/// The expected strings are what Python's json.dumps(value, ensure_ascii=False) gives, which is what the web
/// UI calls.
TEST(A1111Parameters, QuotesValuesThatWouldSplit) {
  const auto value = [](const std::string& text) {
    const std::string start = "Steps: 1, A: b, X: ";
    return a1111_parameters("", "", {{"Steps", "1"}, {"A", "b"}, {"X", text}}).substr(start.size());
  };
  EXPECT_EQ(value("plain \"words\" \\ \u96ea"), "plain \"words\" \\ \u96ea");
  EXPECT_EQ(value("one, two"), R"("one, two")");
  EXPECT_EQ(value("a: b"), R"("a: b")");
  EXPECT_EQ(value("two\nlines"), R"("two\nlines")");
  EXPECT_EQ(value("say \"\u96ea\", \\ \t"), "\"say \\\"\u96ea\\\", \\\\ \\t\"");
}

TEST(A1111Parameters, RefusesALastLineThatReadersMiss) {
  EXPECT_THROW(a1111_parameters("p", "", {{"Steps", "1"}, {"Sampler", "DDIM"}}), BugError);
  EXPECT_THROW(a1111_parameters("p", "", {{"Sampler", "DDIM"}, {"Steps", "1"}, {"Seed", "3"}}), BugError);
}

TEST(XmpPacket, SaysWhatMadeThePicture) {
  const std::string packet = xmp_packet("1.2<&>3");
  EXPECT_EQ(packet.find("<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>"), 0u);
  EXPECT_NE(packet.find("<xmp:CreatorTool>darkroom 1.2&lt;&amp;&gt;3</xmp:CreatorTool>"), std::string::npos);
  EXPECT_NE(packet.find("<Iptc4xmpExt:DigitalSourceType>"
                        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
                        "</Iptc4xmpExt:DigitalSourceType>"),
            std::string::npos);
  EXPECT_EQ(packet.substr(packet.size() - 19), "<?xpacket end=\"r\"?>");
}

}  // namespace
}  // namespace darkroom
