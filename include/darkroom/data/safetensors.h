#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace darkroom {

class MappedFile;

/// One tensor of a .safetensors file: a view into the mapped file.
struct TensorView {
  std::string dtype;               ///< as the format spells it: "F32", "F16", "BF16", "I64", ...
  std::vector<int64_t> shape;      ///< empty for a scalar
  std::span<const uint8_t> bytes;  ///< little-endian, row-major; not aligned to the dtype in every file
};

/// A .safetensors file, memory-mapped. The header is checked whole before any tensor is handed out: length,
/// JSON, dtypes, shapes against offsets, offsets inside the file and without overlap or gap. Format:
/// github.com/huggingface/safetensors (README, "Format").
class Safetensors {
 public:
  /// Throws ModelError naming the file and the fault.
  explicit Safetensors(const std::filesystem::path& file);
  ~Safetensors();
  Safetensors(const Safetensors&) = delete;
  Safetensors& operator=(const Safetensors&) = delete;

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// All tensors' bytes: what follows the header.
  std::span<const uint8_t> data() const { return data_; }

  /// Throws ModelError naming file and tensor if there is none of this name.
  const TensorView& at(const std::string& name) const;

 private:
  std::filesystem::path file_;
  std::unique_ptr<const MappedFile> mapping_;
  std::span<const uint8_t> data_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// A file of these tensors, in one piece or not at all (write_file). Throws OutputError.
void write_safetensors(const std::filesystem::path& file, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata, bool overwrite);

}  // namespace darkroom
