#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "darkroom/data/safetensors.h"

namespace darkroom {

/// What a LoRA adds to the weight of one module: scale * up down, of shapes (out, rank, ...) and (rank, in,
/// ...); with `mid` (rank, rank, rows, columns) between them, the convolution of LyCORIS' Tucker form.
struct LoraModule {
  using Tensor = std::pair<const std::string, TensorView>;  ///< of the file: its key and where it lies

  const Tensor *down = nullptr, *up = nullptr, *mid = nullptr, *alpha = nullptr;
  double scale = 1;  ///< alpha / rank

  std::vector<std::string> keys() const;
};

/// A LoRA file with its keys read and its parts put together. Which network's the modules are is not known
/// here.
class LoraFile {
 public:
  /// By component and flat name (lora_keys.h).
  using Modules = std::map<std::pair<std::string, std::string>, LoraModule>;

  /// Throws ModelError naming file and tensor: no whole safetensors file, of a kind that cannot be applied,
  /// half of a pair, a dtype that is no float, no LoRA at all.
  explicit LoraFile(const std::filesystem::path& file);

  const Modules& modules() const { return modules_; }

  /// Keys of no known form, and parts without a whole.
  const std::vector<std::string>& unknown_keys() const { return unknown_keys_; }

 private:
  Safetensors tensors_;
  Modules modules_;
  std::vector<std::string> unknown_keys_;
};

}  // namespace darkroom
