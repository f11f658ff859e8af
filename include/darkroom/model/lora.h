#pragma once

#include <filesystem>

namespace darkroom {

/// A LoRA file (.safetensors) and how strongly it acts.
struct Lora {
  std::filesystem::path file;
  double weight = 1;

  bool operator==(const Lora&) const = default;
};

/// Throws ModelError, saying why, unless this is a LoRA of a kind that can be applied: kohya's, diffusers' or
/// PEFT's, of linear and convolutional layers (LoCon). Whether it fits a model is seen when it is applied.
void check_lora(const std::filesystem::path& file);

}  // namespace darkroom
