#include "darkroom/data/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

std::string length_prefix(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i));
  return bytes;
}

/// A file with this header and `data_size` bytes of data: 0, 1, 2, ...
std::string file_of(const std::string& header, size_t data_size) {
  std::string bytes = length_prefix(header.size()) + header;
  for (size_t i = 0; i < data_size; ++i) bytes += static_cast<char>(i);
  return bytes;
}

class SafetensorsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::path(testing::TempDir()) / "darkroom-safetensors-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    file_ = folder_ / "a.safetensors";
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& bytes) const {
    write_file(file_, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, true);
  }
  /// The error a file with these bytes gives, less the part that names the file; "" if it is taken.
  std::string fault(const std::string& bytes) const {
    write(bytes);
    const std::string start = "'" + file_.string() + "' is no whole safetensors file: ";
    try {
      const Safetensors opened(file_);
      return "";
    } catch (const ModelError& error) {
      const std::string message = error.what();
      EXPECT_EQ(message.substr(0, start.size()), start);
      return message.substr(start.size());
    }
  }
  /// The same for a file whose one tensor 't' is described by `description`.
  std::string tensor_fault(const std::string& description, size_t data_size) const {
    return fault(file_of("{\"t\":" + description + "}", data_size));
  }

  fs::path folder_, file_;
};

TEST_F(SafetensorsTest, HandsOutViews) {
  write(file_of(R"({"__metadata__":{"format":"pt","made by":"\u00e4"},)"
                R"("b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},)"
                R"("empty":{"dtype":"F32","shape":[0,5],"data_offsets":[16,16]},)"
                R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
                16));
  const Safetensors opened(file_);
  EXPECT_EQ(opened.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"made by", "\u00e4"}}));
  ASSERT_EQ(opened.tensors().size(), 3u);
  const TensorView& a = opened.at("a");
  EXPECT_EQ(a.dtype, "F32");
  EXPECT_EQ(a.shape, std::vector<int64_t>{});
  EXPECT_EQ(std::vector<uint8_t>(a.bytes.begin(), a.bytes.end()), (std::vector<uint8_t>{0, 1, 2, 3}));
  const TensorView& b = opened.at("b");
  EXPECT_EQ(b.dtype, "F16");
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b.bytes.size(), 12u);
  EXPECT_EQ(b.bytes.front(), 4);
  EXPECT_EQ(b.bytes.back(), 15);
  EXPECT_EQ(opened.at("empty").shape, (std::vector<int64_t>{0, 5}));
  EXPECT_TRUE(opened.at("empty").bytes.empty());
}

TEST_F(SafetensorsTest, TakesFilesWithoutTensors) {
  EXPECT_EQ(fault(file_of("{}", 0)), "");
  EXPECT_EQ(fault(file_of(R"({"__metadata__":{}})", 0)), "");
}

TEST_F(SafetensorsTest, MissingNamesAreNamed) {
  write(file_of("{}", 0));
  const Safetensors opened(file_);
  try {
    opened.at("unet.weight");
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_EQ(error.what(), "'" + file_.string() + "' has no tensor 'unet.weight'");
  }
  EXPECT_THROW(Safetensors(folder_ / "none"), ModelError);
  EXPECT_THROW(Safetensors{folder_}, ModelError);
}

TEST_F(SafetensorsTest, RefusesBrokenLengths) {
  EXPECT_EQ(fault(""), "is too short for the length of a header");
  EXPECT_EQ(fault("1234567"), "is too short for the length of a header");
  EXPECT_EQ(fault(length_prefix(3) + "{}"), "header of 3 bytes in a file of 10");
  EXPECT_EQ(fault(length_prefix(100'000'001)), "header of 100000001 bytes (at most 100000000)");
  EXPECT_EQ(fault(length_prefix(UINT64_MAX)), "header of 18446744073709551615 bytes (at most 100000000)");
  EXPECT_EQ(fault(length_prefix(0)), "header does not start with '{'");
}

TEST_F(SafetensorsTest, RefusesBrokenJson) {
  EXPECT_EQ(fault(file_of("[]", 0)), "header does not start with '{'");
  EXPECT_EQ(fault(file_of(" {}", 0)), "header does not start with '{'");
  EXPECT_EQ(fault(file_of("{\"t\":", 0)), "header is not JSON (byte 6)");
  EXPECT_EQ(fault(file_of("{}{}", 0)), "header is not JSON (byte 3)");
  EXPECT_EQ(fault(file_of("{\"\xff\":1}", 0)), "header is not JSON (byte 3)");
  const std::string deep = "header has lists or objects too deep inside each other";
  EXPECT_EQ(fault(file_of("{\"t\":" + std::string(100000, '['), 0)), deep);
  EXPECT_EQ(fault(file_of(R"({"t":{"shape":[[1]]}})", 0)), deep);
}

TEST_F(SafetensorsTest, RefusesDuplicateKeys) {
  const std::string t = R"("t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_EQ(fault(file_of("{" + t + "}", 1)), "");
  EXPECT_EQ(fault(file_of("{" + t + "," + t + "}", 1)), "header has the key 't' twice");
  EXPECT_EQ(tensor_fault(R"({"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]})", 1),
            "header has the key 'dtype' twice");
  EXPECT_EQ(fault(file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0)), "header has the key 'a' twice");
}

TEST_F(SafetensorsTest, RefusesMetadataThatIsNotText) {
  EXPECT_EQ(fault(file_of(R"({"__metadata__":[]})", 0)), "__metadata__ is not an object");
  EXPECT_EQ(fault(file_of(R"({"__metadata__":{"a":1}})", 0)), "__metadata__ 'a' is not a string");
}

TEST_F(SafetensorsTest, RefusesIncompleteTensors) {
  EXPECT_EQ(tensor_fault("1", 0), "tensor 't' is not an object");
  EXPECT_EQ(tensor_fault(R"({"shape":[1],"data_offsets":[0,1]})", 1), "tensor 't' has no string 'dtype'");
  EXPECT_EQ(tensor_fault(R"({"dtype":8,"shape":[1],"data_offsets":[0,1]})", 1),
            "tensor 't' has no string 'dtype'");
  EXPECT_EQ(tensor_fault(R"({"dtype":"F33","shape":[1],"data_offsets":[0,1]})", 1),
            "tensor 't' has the unknown dtype 'F33'");
  EXPECT_EQ(tensor_fault(R"({"dtype":"U8","data_offsets":[0,1]})", 1), "tensor 't' has no list 'shape'");
  EXPECT_EQ(tensor_fault(R"({"dtype":"U8","shape":1,"data_offsets":[0,1]})", 1),
            "tensor 't' has no list 'shape'");
  EXPECT_EQ(tensor_fault(R"({"dtype":"U8","shape":[1]})", 1), "tensor 't' has no list 'data_offsets'");
}

TEST_F(SafetensorsTest, RefusesNumbersThatCountNothing) {
  for (const std::string entry : {"-1", "1.0", "\"1\"", "null", "9223372036854775808"})
    EXPECT_EQ(tensor_fault(R"({"dtype":"U8","shape":[)" + entry + R"(],"data_offsets":[0,1]})", 1),
              "tensor 't' has the entry " + entry + " in shape");
  EXPECT_EQ(tensor_fault(R"({"dtype":"U8","shape":[1],"data_offsets":[-1,0]})", 1),
            "tensor 't' has the entry -1 in data_offsets");
}

TEST_F(SafetensorsTest, RefusesShapesThatOverflow) {
  // 2^61 elements of 8 bits are 2^64 bits; 2^32 times 2^32 elements wrap to none.
  for (const std::string shape : {"2305843009213693952", "4294967296,4294967296", "4294967296,4294967296,0"})
    EXPECT_EQ(tensor_fault(R"({"dtype":"U8","shape":[)" + shape + R"(],"data_offsets":[0,0]})", 0),
              "tensor 't' has a shape too large to count");
}

TEST_F(SafetensorsTest, RefusesOffsetsThatDoNotFit) {
  const auto with = [](const std::string& offsets) {
    return R"({"dtype":"F32","shape":[2],"data_offsets":[)" + offsets + "]}";
  };
  EXPECT_EQ(tensor_fault(with("0,8"), 8), "");
  for (const std::string offsets : {"8,0", "0", "0,8,8", ""})
    EXPECT_EQ(tensor_fault(with(offsets), 8), "tensor 't' has data_offsets that are no begin and end");
  EXPECT_EQ(tensor_fault(with("0,8"), 7), "tensor 't' ends at byte 8 of 7 bytes of data");
  EXPECT_EQ(tensor_fault(with("0,4"), 4), "tensor 't' has 4 bytes, but dtype and shape make 64 bits");
  EXPECT_EQ(tensor_fault(R"({"dtype":"F4","shape":[3],"data_offsets":[0,1]})", 1),
            "tensor 't' has 1 bytes, but dtype and shape make 12 bits");
  EXPECT_EQ(tensor_fault(R"({"dtype":"F4","shape":[2],"data_offsets":[0,1]})", 1), "");
}

TEST_F(SafetensorsTest, RefusesOverlapsAndGaps) {
  const auto pair = [this](const std::string& first, const std::string& second, size_t data_size) {
    return fault(file_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[)" + first +
                             R"(]},"b":{"dtype":"U8","shape":[2],"data_offsets":[)" + second + "]}}",
                         data_size));
  };
  EXPECT_EQ(pair("0,2", "2,4", 4), "");
  EXPECT_EQ(pair("2,4", "0,2", 4), "");
  const std::string before = " of the data, the one before ends at byte ";
  EXPECT_EQ(pair("0,2", "1,3", 3), "tensor 'b' begins at byte 1" + before + "2");
  EXPECT_EQ(pair("0,2", "0,2", 2), "tensor 'b' begins at byte 0" + before + "2");
  EXPECT_EQ(pair("0,2", "3,5", 5), "tensor 'b' begins at byte 3" + before + "2");
  EXPECT_EQ(pair("1,3", "3,5", 5), "tensor 'a' begins at byte 1" + before + "0");
  EXPECT_EQ(pair("0,2", "2,4", 5), "tensors end at byte 4 of 5 bytes of data");
  EXPECT_EQ(fault(file_of("{}", 1)), "tensors end at byte 0 of 1 bytes of data");
}

TEST_F(SafetensorsTest, ReadsBackWhatIsWritten) {
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::map<std::string, TensorView> tensors = {{"a", {"U8", {2, 3}, std::span(bytes).first(6)}},
                                                     {"b", {"I16", {}, std::span(bytes).last(2)}}};
  const fs::path file = fs::temp_directory_path() / ("darkroom-written-" + std::to_string(getpid()));
  write_safetensors(file, tensors, {{"step", "3"}}, true);
  const Safetensors read(file);
  fs::remove(file);
  EXPECT_EQ(read.metadata().at("step"), "3");
  ASSERT_EQ(read.tensors().size(), 2u);
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(read.at(name).dtype, tensor.dtype);
    EXPECT_EQ(read.at(name).shape, tensor.shape);
    EXPECT_TRUE(std::ranges::equal(read.at(name).bytes, tensor.bytes));
  }
}

}  // namespace
}  // namespace darkroom
