#include "darkroom/data/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "data/mapped_file.h"

namespace darkroom {
namespace {

using nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation

/// Bits of one element of a dtype; 0 for an unknown one. F4 and F6 tensors are packed.
uint64_t bits_of(const std::string& dtype) {
  static const std::map<std::string, uint64_t> bits = {
      {"F4", 4},      {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"BOOL", 8}, {"U8", 8},   {"I8", 8},
      {"F8_E5M2", 8}, {"F8_E4M3", 8},     {"F8_E8M0", 8}, {"I16", 16}, {"U16", 16}, {"F8_E5M2FNUZ", 8},
      {"F16", 16},    {"F8_E4M3FNUZ", 8}, {"BF16", 16},   {"I32", 32}, {"U32", 32}, {"F32", 32},
      {"C64", 64},    {"F64", 64},        {"I64", 64},    {"U64", 64}};
  const auto found = bits.find(dtype);
  return found == bits.end() ? 0 : found->second;
}

/// A fault in the file's contents; the file's name is added where it is caught.
struct Fault {
  std::string text;
};

uint64_t header_length(std::span<const uint8_t> bytes) {
  if (bytes.size() < kLengthBytes) throw Fault{"is too short for the length of a header"};
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= uint64_t{bytes[i]} << (8 * i);
  if (length > kMaxHeader)
    throw Fault{"header of " + std::to_string(length) + " bytes (at most " + std::to_string(kMaxHeader) +
                ")"};
  if (length > bytes.size() - kLengthBytes)
    throw Fault{"header of " + std::to_string(length) + " bytes in a file of " +
                std::to_string(bytes.size())};
  return length;
}

/// The header as JSON. nlohmann::json keeps the last of equal keys; the format forbids them.
json parse_header(std::span<const uint8_t> text) {
  if (text.empty() || text[0] != '{') throw Fault{"header does not start with '{'"};
  std::vector<std::set<std::string>> keys;  // of the objects around the current place
  const auto on_event = [&keys](int depth, json::parse_event_t event, json& parsed) {
    // The entries of a shape lie three deep; lists inside lists without end would fill the memory.
    if (depth > 3) throw Fault{"header has lists or objects too deep inside each other"};
    switch (event) {
      case json::parse_event_t::object_start:
        keys.emplace_back();
        break;
      case json::parse_event_t::object_end:
        keys.pop_back();
        break;
      case json::parse_event_t::key:
        if (!keys.back().insert(parsed.get<std::string>()).second)
          throw Fault{"header has the key '" + parsed.get<std::string>() + "' twice"};
        break;
      default:
        break;
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), on_event);
  } catch (const json::parse_error& error) {
    throw Fault{"header is not JSON (byte " + std::to_string(error.byte) + ")"};
  }
}

std::map<std::string, std::string> parse_metadata(const json& object) {
  if (!object.is_object()) throw Fault{"__metadata__ is not an object"};
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) throw Fault{"__metadata__ '" + key + "' is not a string"};
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

/// A list of counts, as shape and data_offsets are.
std::vector<uint64_t> parse_counts(const json& tensor, const char* key) {
  const auto found = tensor.find(key);
  if (found == tensor.end() || !found->is_array()) throw Fault{std::string("has no list '") + key + "'"};
  std::vector<uint64_t> counts;
  for (const json& value : *found) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > INT64_MAX)
      throw Fault{"has the entry " + value.dump() + " in " + key};
    counts.push_back(value.get<uint64_t>());
  }
  return counts;
}

TensorView parse_tensor(const json& tensor, std::span<const uint8_t> data) {
  if (!tensor.is_object()) throw Fault{"is not an object"};
  const auto dtype = tensor.find("dtype");
  if (dtype == tensor.end() || !dtype->is_string()) throw Fault{"has no string 'dtype'"};
  TensorView view{dtype->get<std::string>(), {}, {}};
  uint64_t bits = bits_of(view.dtype);
  if (bits == 0) throw Fault{"has the unknown dtype '" + view.dtype + "'"};
  for (const uint64_t length : parse_counts(tensor, "shape")) {
    if (__builtin_mul_overflow(bits, length, &bits)) throw Fault{"has a shape too large to count"};
    view.shape.push_back(static_cast<int64_t>(length));
  }
  const std::vector<uint64_t> offsets = parse_counts(tensor, "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    throw Fault{"has data_offsets that are no begin and end"};
  if (offsets[1] > data.size())
    throw Fault{"ends at byte " + std::to_string(offsets[1]) + " of " + std::to_string(data.size()) +
                " bytes of data"};
  if (bits % 8 != 0 || bits / 8 != offsets[1] - offsets[0])
    throw Fault{"has " + std::to_string(offsets[1] - offsets[0]) + " bytes, but dtype and shape make " +
                std::to_string(bits) + " bits"};
  view.bytes = data.subspan(offsets[0], bits / 8);
  return view;
}

/// Every byte of data belongs to exactly one tensor.
void check_cover(const std::map<std::string, TensorView>& tensors, std::span<const uint8_t> data) {
  std::vector<std::tuple<size_t, size_t, std::string>> places;
  for (const auto& [name, view] : tensors)
    places.emplace_back(view.bytes.data() - data.data(), view.bytes.size(), name);
  std::sort(places.begin(), places.end());
  size_t end = 0;
  for (const auto& [begin, size, name] : places) {
    if (begin != end)
      throw Fault{"tensor '" + name + "' begins at byte " + std::to_string(begin) +
                  " of the data, the one before ends at byte " + std::to_string(end)};
    end += size;
  }
  if (end != data.size())
    throw Fault{"tensors end at byte " + std::to_string(end) + " of " + std::to_string(data.size()) +
                " bytes of data"};
}

}  // namespace

Safetensors::Safetensors(const std::filesystem::path& file)
    : file_(file), mapping_(std::make_unique<const MappedFile>(file)) {
  try {
    const uint64_t length = header_length(mapping_->bytes());
    const std::span<const uint8_t> rest = mapping_->bytes().subspan(kLengthBytes);
    data_ = rest.subspan(length);
    const json header = parse_header(rest.first(length));
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        metadata_ = parse_metadata(value);
        continue;
      }
      try {
        tensors_.emplace(name, parse_tensor(value, data_));
      } catch (const Fault& fault) {
        throw Fault{"tensor '" + name + "' " + fault.text};
      }
    }
    check_cover(tensors_, data_);
  } catch (const Fault& fault) {
    throw ModelError("'" + file.string() + "' is no whole safetensors file: " + fault.text);
  }
}

Safetensors::~Safetensors() = default;

const TensorView& Safetensors::at(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw ModelError("'" + file_.string() + "' has no tensor '" + name + "'");
  return found->second;
}

void write_safetensors(const std::filesystem::path& file, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata, bool overwrite) {
  json header = {{"__metadata__", metadata}};
  uint64_t end = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t begin = std::exchange(end, end + tensor.bytes.size());
    header[name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text += std::string((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < kLengthBytes; ++i)
    bytes.push_back(static_cast<uint8_t>(uint64_t{text.size()} >> (8 * i)));
  bytes.insert(bytes.end(), text.begin(), text.end());
  for (const auto& [name, tensor] : tensors)
    bytes.insert(bytes.end(), tensor.bytes.begin(), tensor.bytes.end());
  write_file(file, bytes, overwrite);
}

}  // namespace darkroom
