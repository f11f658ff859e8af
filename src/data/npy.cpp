#include "darkroom/data/npy.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <regex>
#include <string>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"

namespace darkroom {
namespace {

static_assert(std::endian::native == std::endian::little);

const std::string kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;

template <class Number>
Number number_at(const std::string& bytes, size_t at) {
  Number number;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

float from_half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float size = exponent == 0    ? std::ldexp(static_cast<float>(fraction), -24)
                     : exponent == 31 ? (fraction ? NAN : INFINITY)
                                      : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return bits >> 15 ? -size : size;
}

/// Where the numbers begin, and the text of the header: a Python dictionary.
std::pair<size_t, std::string> split(const std::string& bytes) {
  if (bytes.size() < 12 || !bytes.starts_with(kMagic)) throw UsageError("is no .npy file");
  const int version = bytes[6];
  if (version < 1 || version > 3) throw UsageError("is of a .npy version after 3");
  const size_t start = version == 1 ? 10 : 12;
  const size_t length = version == 1 ? number_at<uint16_t>(bytes, 8) : number_at<uint32_t>(bytes, 8);
  if (length > bytes.size() - start) throw UsageError("is shorter than its header says");
  return {start + length, bytes.substr(start, length)};
}

std::vector<int64_t> shape_in(const std::string& header) {
  static const std::regex kShape(R"('shape'\s*:\s*\(([0-9,\s]*)\))"), kNumber("[0-9]{1,9}");
  std::smatch found;
  if (!std::regex_search(header, found, kShape)) throw UsageError("has no shape in its header");
  const std::string list = found[1];
  std::vector<int64_t> shape;
  for (std::sregex_iterator i(list.begin(), list.end(), kNumber), end; i != end; ++i)
    shape.push_back(std::stoll(i->str()));
  return shape;
}

std::string dtype_in(const std::string& header) {
  static const std::regex kDtype(R"('descr'\s*:\s*'([^']*)')"), kFortran(R"('fortran_order'\s*:\s*True)");
  std::smatch found;
  if (!std::regex_search(header, found, kDtype)) throw UsageError("holds no plain numbers");
  if (std::regex_search(header, kFortran)) throw UsageError("is in Fortran order; save it in C order");
  return found[1];
}

NpyArray parse(const std::string& bytes) {
  const auto [start, header] = split(bytes);
  const std::string dtype = dtype_in(header);
  NpyArray array{shape_in(header), {}};
  const size_t width = dtype == "<f2" ? 2 : dtype == "<f4" ? 4 : dtype == "<f8" ? 8 : 0;
  if (width == 0) throw UsageError("holds '" + dtype + "'; float16, float32 and float64 can be read");
  size_t count = 1;
  for (const int64_t side : array.shape) {
    count *= static_cast<size_t>(side);
    if (count > bytes.size()) throw UsageError("is shorter than its shape says");
  }
  if (bytes.size() - start != count * width) throw UsageError("has another length than its shape says");
  for (size_t at = start; at < bytes.size(); at += width)
    array.values.push_back(width == 2   ? from_half(number_at<uint16_t>(bytes, at))
                           : width == 4 ? number_at<float>(bytes, at)
                                        : static_cast<float>(number_at<double>(bytes, at)));
  return array;
}

}  // namespace

NpyArray read_npy(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  try {
    return parse(bytes);
  } catch (const UsageError& fault) {
    throw UsageError("'" + file.string() + "' " + fault.what());
  }
}

void write_npy(const std::filesystem::path& file, std::span<const int64_t> shape,
               std::span<const float> values, bool overwrite) {
  std::string sides;
  for (const int64_t side : shape) sides += std::to_string(side) + ", ";
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + sides + "), }";
  const size_t unpadded = kMagic.size() + 4 + header.size() + 1;
  header += std::string((kAlignment - unpadded % kAlignment) % kAlignment, ' ') + "\n";
  std::vector<uint8_t> bytes(kMagic.begin(), kMagic.end());
  bytes.insert(bytes.end(),
               {1, 0, static_cast<uint8_t>(header.size() & 255), static_cast<uint8_t>(header.size() >> 8)});
  bytes.insert(bytes.end(), header.begin(), header.end());
  const auto* data = reinterpret_cast<const uint8_t*>(values.data());
  bytes.insert(bytes.end(), data, data + values.size_bytes());
  write_file(file, bytes, overwrite);
}

}  // namespace darkroom
