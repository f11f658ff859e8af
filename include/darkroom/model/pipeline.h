#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "darkroom/base/diagnostics.h"
#include "darkroom/diffusion/sampler.h"
#include "darkroom/image/image.h"
#include "darkroom/model/manifest.h"

namespace darkroom {

/// Everything besides prompt and seed that decides a picture. Requests with equal settings may share a batch.
/// Start from default_settings() and change what the person asked for.
struct Settings {
  int64_t width = 0, height = 0;  ///< pixels
  int64_t steps = 0;
  double cfg_scale = 1;  ///< guidance scale; at most 1: no guidance, as diffusers
  std::string sampler, schedule;
  std::string convention = "diffusers";  ///< whose numbers: one of convention_names()
  /// Of the sampler (see SamplerOptions); none: its own.
  std::optional<double> eta, s_noise, s_churn, s_tmin, s_tmax;
  std::string prev = "diffusers";  ///< DDIM's previous timestep: "diffusers" (t - T/N) or "next" (the list's)
  std::string variance;            ///< DDPM: one of variance_names()
  std::optional<double> clip_sample;  ///< x0 is limited to +-range; none: off
  std::optional<double> threshold_ratio,
      threshold_max;                 ///< dynamic thresholding, which wins over clipping; none: off
  std::string noise_dtype = "fp32";  ///< fp32, fp16, bf16: the dtype noise is drawn in
  bool operator==(const Settings&) const = default;
};

/// One picture asked for.
struct Request {
  std::string prompt;
  std::optional<std::string> negative_prompt;
  uint32_t seed = 0;
  std::string place;  ///< where the prompt came from, for warnings: "prompt", "prompts.txt:12"
};

/// One picture made, or why it is unusable (NaN, Inf, constant).
struct Outcome {
  Image image;
  std::string fault;  ///< empty: the image is good
};

/// Prompt -> conditioning -> start -> walk -> autoencoder -> 8-bit image.
class Pipeline {
 public:
  struct Options {
    at::Device device = at::kCPU;
    at::ScalarType precision = at::kFloat;
    bool keep_text_encoder =
        true;  ///< false: freed after each batch's prompts are encoded, loaded again when needed
  };

  /// Checks the hashes, then loads the networks. Throws ModelError or ResourceError.
  Pipeline(Manifest manifest, Options options, Diagnostics& diagnostics);
  ~Pipeline();

  /// The pictures of the requests, walked together, in their order. The observer sees the latents (B, C, h,
  /// w) after each step and may throw to stop. Throws UsageError for settings the model cannot do (see
  /// check_settings), ModelError, ResourceError.
  std::vector<Outcome> generate(const Settings& settings, const std::vector<Request>& requests,
                                const StepObserver& observer = {});

  const Manifest& manifest() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// The model's own defaults.
Settings default_settings(const Manifest& manifest);

/// Throws UsageError, saying what was given and what is allowed, for a size that is no multiple of the
/// model's factor, an unknown sampler or schedule, more steps than the schedule has, or a combination that
/// makes no sense. Needs no network: called before any is loaded.
void check_settings(const Settings& settings, const Manifest& manifest);

/// Peak bytes a run will need, by part; the sum is what --dry-run prints and what is compared with free
/// memory.
struct MemoryEstimate {
  int64_t weights = 0;
  int64_t activations = 0;
  int64_t runtime = 0;  ///< libtorch itself
  int64_t total() const { return weights + activations + runtime; }
};
MemoryEstimate estimate_memory(const Manifest& manifest, const Settings& settings, int64_t batch,
                               const Pipeline::Options& options);

}  // namespace darkroom
