#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "darkroom/data/safetensors.h"
#include "darkroom/diffusion/sampler.h"
#include "support/golden.h"
#include "support/toys.h"

namespace darkroom::testing {

/// The recorded walks of tests/goldens/*_samplers.safetensors that the samplers of the table are held to;
/// golden_common.py describes their fields. Those where we deviate on purpose are left out, with the reason.
std::vector<nlohmann::json> golden_cases();

/// One recorded walk, and what is needed to walk it again.
struct GoldenCase {
  explicit GoldenCase(const nlohmann::json& fields);

  const nlohmann::json& c;
  const Safetensors& file;
  const std::string name;
  const SamplerInfo& sampler;
  const SamplerOptions options;
  const Walk walk;
  const at::Tensor start = tensor("x"), samples = tensor("samples");

  /// Whose numbers: "diffusers", "k", or "paper" where they were computed from formulas.
  std::string reference() const;
  bool is_flow() const { return c["kind"] == "flow"; }
  bool has(const char* key) const { return file.tensors().contains(name + "/" + key); }
  at::Tensor tensor(const char* key) const { return tensor_of(file.at(name + "/" + key)); }
  NoiseSchedule trained_levels() const;
  RecordedNoise noise() const;  ///< what the reference drew

  /// The recorded network behind its limits on x0. It writes the timesteps of its calls to `told`.
  Denoise denoiser(std::vector<double>& told) const;

  /// The row of `samples` at which a step ends.
  int64_t row_of(size_t step) const;

 private:
  Walk build() const;
};

}  // namespace darkroom::testing
