#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/diffusion/noise.h"
#include "darkroom/diffusion/prediction.h"
#include "darkroom/diffusion/walk.h"

namespace darkroom {

/// The variance of a DDPM step (Ho et al. 2006.11239, section 3.2; learned_range: Nichol & Dhariwal
/// 2102.09672, eq. 15).
enum class Variance { fixed_small, fixed_large, learned_range };

std::vector<std::string> variance_names();

/// Throws UsageError naming the nearest if there is none of this name.
Variance find_variance(std::string_view name);

/// What a person may set about a sampler. Its row says which of these it reads.
struct SamplerOptions {
  double eta = 0;  ///< DDIM: 0 is deterministic, 1 is DDPM's posterior variance
  Variance variance = Variance::fixed_small;
};

/// Called after each step with its number (from 1), their count and x. May throw to stop the walk.
using StepObserver = std::function<void(int64_t step, int64_t steps, const at::Tensor& x)>;

/// Walks x from the first level to the last and returns it. Knows no model family, guidance, device or
/// precision, and computes in the dtype of x; scalars are double.
using Sampler = at::Tensor (*)(const Denoise& denoise, at::Tensor x, const Walk& walk, Noise& noise,
                               const SamplerOptions& options, const StepObserver& observer);

/// One row per sampler. The --sampler option, `darkroom list samplers` and the walk builder all read this
/// table.
struct SamplerInfo {
  std::string_view name;
  std::vector<std::string_view> aliases;  ///< other programs' names for it
  std::string_view summary;
  std::string_view source;  ///< paper, diffusers class
  Previous previous;        ///< where its steps end unless the person says otherwise
  bool final_alpha_one;     ///< its last step always ends without noise; else the model's set_alpha_to_one
                            ///< decides
  bool uses_eta, uses_variance, uses_previous;
  Sampler function;
};

std::span<const SamplerInfo> samplers();

/// By name or alias, ignoring case. Throws UsageError naming the nearest if there is none.
const SamplerInfo& find_sampler(std::string_view name);

// The samplers. Sources stand in the table.
at::Tensor ddpm(const Denoise& denoise, at::Tensor x, const Walk& walk, Noise& noise,
                const SamplerOptions& options, const StepObserver& observer);
at::Tensor ddim(const Denoise& denoise, at::Tensor x, const Walk& walk, Noise& noise,
                const SamplerOptions& options, const StepObserver& observer);

}  // namespace darkroom
