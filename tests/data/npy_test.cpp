#include "darkroom/data/npy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

class Npy : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& bytes) const {
    const auto path = folder_.path() / "a.npy";
    write_file(path, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, true);
    return path;
  }

  /// As numpy writes it.
  static std::string npy(const std::string& dtype, const std::string& shape, const std::string& data) {
    std::string header = "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': " + shape + ", }";
    header += std::string(117 - header.size(), ' ') + "\n";
    return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + data;
  }

  std::string fault(const std::string& bytes) const {
    try {
      read_npy(file(bytes));
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }

  testing::TemporaryFolder folder_;
};

TEST_F(Npy, ReadsBackWhatItWrites) {
  const std::vector<int64_t> shape = {2, 3};
  const std::vector<float> values = {0, -1.5f, 3e-40f, 1e30f, 0.1f, -0.0f};
  write_npy(folder_.path() / "b.npy", shape, values, false);
  const NpyArray array = read_npy(folder_.path() / "b.npy");
  EXPECT_EQ(array.shape, shape);
  EXPECT_EQ(array.values, values);
}

TEST_F(Npy, ReadsHalfAndDouble) {
  // 1, -2, 65504, the smallest subnormal, infinity.
  const NpyArray half =
      read_npy(file(npy("<f2", "(5,)", std::string("\x00\x3c\x00\xc0\xff\x7b\x01\x00\x00\x7c", 10))));
  EXPECT_EQ(half.values, (std::vector<float>{1, -2, 65504, 5.9604645e-8f, INFINITY}));
  const NpyArray whole = read_npy(file(npy("<f8", "()", std::string("\x00\x00\x00\x00\x00\x00\xf8\x3f", 8))));
  EXPECT_TRUE(whole.shape.empty());
  EXPECT_EQ(whole.values, std::vector<float>{1.5f});
}

TEST_F(Npy, RefusesWhatItCannotRead) {
  const std::string four(4, '\0');
  EXPECT_NE(fault("NUMPY").find("is no .npy file"), std::string::npos);
  EXPECT_NE(fault(npy("<f4", "(2,)", four)).find("another length than its shape says"), std::string::npos);
  EXPECT_NE(fault(npy("<f4", "(999999999, 999999999, 999999999)", four)).find("shorter"), std::string::npos);
  EXPECT_NE(fault(npy(">f4", "(1,)", four)).find("'>f4'"), std::string::npos);
  EXPECT_NE(fault(npy("<f4", "(1,)", four).substr(0, 60)).find("shorter than its header"), std::string::npos);
  std::string fortran = npy("<f4", "(1,)", four);
  fortran.replace(fortran.find("False"), 5, "True ");
  EXPECT_NE(fault(fortran).find("Fortran order"), std::string::npos);
}

}  // namespace
}  // namespace darkroom
