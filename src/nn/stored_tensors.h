#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace caffe2::serialize {
class ReadAdapterInterface;
}

namespace darkroom {

/// The parameters and buffers of a TorchScript file, one at a time. Opening reads names, shapes and places
/// alone: no tensor, and none of the file's code is run.
class StoredTensors {
 public:
  /// Throws ModelError naming file and cause.
  explicit StoredTensors(const std::filesystem::path& file);
  ~StoredTensors();
  StoredTensors(StoredTensors&&) noexcept;

  /// By name, in the state dict's terms.
  std::map<std::string, std::vector<int64_t>> shapes() const;

  /// A copy of its own, on the CPU and of the stored dtype. Throws ModelError if there is none of this name.
  at::Tensor read(const std::string& name) const;

  bool has(const std::string& name) const;

  /// The file as libtorch is to load it, without what the larger of these tensors hold: their memory is then
  /// taken but never touched, and so not resident. Reads the file by itself.
  std::shared_ptr<caffe2::serialize::ReadAdapterInterface> without_contents() const;

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
};

}  // namespace darkroom
