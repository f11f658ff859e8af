#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/base/diagnostics.h"
#include "darkroom/diffusion/sampler.h"
#include "darkroom/image/image.h"
#include "darkroom/model/embedding.h"
#include "darkroom/model/lora.h"
#include "darkroom/model/manifest.h"
#include "darkroom/text/composition.h"

namespace darkroom {

/// Everything besides prompt and seed that decides a picture. Requests with equal settings may share a batch.
/// Start from default_settings() and change what the person asked for.
struct Settings {
  int64_t width = 0, height = 0;  ///< pixels
  int64_t steps = 0;
  std::string weighting = "none";    ///< of words in the prompts: one of weighting_names()
  std::string long_prompt = "auto";  ///< "truncate", "chunks", or "auto": chunks if words are weighted
  int64_t clip_skip = 0;             ///< layers of the text encoders that the prompt leaves out
  double cfg_scale = 1;              ///< guidance scale; at most 1: no guidance, as diffusers
  double guidance_start = 0, guidance_stop = 1;  ///< guided steps: ScaleOptions
  std::string guidance_schedule = "constant";    ///< one of scale_schedule_names()
  double guidance_rescale = 0;                   ///< 0: off
  double apg_eta = 1, apg_norm = 0,
         apg_momentum = 0;         ///< adaptive projected guidance: ProjectionOptions; as given here, off
  bool cfg_zero = false;           ///< CFG-Zero*'s optimised scale
  int64_t zero_init_steps = 0;     ///< CFG-Zero*'s zero-init
  double perp_neg = 0;             ///< strength of the perpendicular negative prompt; 0: off
  bool cfg_pp = false;             ///< CFG++, at a cfg_scale of 0 to 1
  bool compose = false;            ///< the prompt may hold several: split_composition
  bool autoguided = false;         ///< by the pipeline's weaker model instead of a negative prompt
  double refiner_start = 0.8;      ///< share of the noise schedule after which a refiner goes on
  bool guidance_embedded = false;  ///< the model's: its denoiser is told the scale, and not guided
  /// What a model that is told so takes for the size of the picture it was trained on, its crop and the size
  /// made of it, in pixels; 0: this picture's.
  int64_t original_width = 0, original_height = 0, target_width = 0, target_height = 0;
  int64_t crop_left = 0, crop_top = 0;
  double aesthetic_score = 6, negative_aesthetic_score = 2.5;  ///< likewise; of 10
  std::string sampler, schedule;
  /// Of the schedule (see WalkOptions); none: its own, the model's.
  std::optional<double> rho, sigma_min, sigma_max;
  std::optional<double> flow_shift;       ///< of rectified flow, in place of the model's; none: the model's
  std::vector<double> sigmas, timesteps;  ///< of the schedules that are a list
  std::string convention = "diffusers";   ///< whose numbers: one of convention_names()
  /// Of the sampler (see SamplerOptions); none: its own.
  std::optional<double> eta, s_noise, s_churn, s_tmin, s_tmax, rtol, atol, snr;
  int64_t corrector_steps = 1, original_steps = 50;  ///< of 'pc'; of LCM and TCD
  int64_t solver_order = 0;                          ///< of a sampler that has several; 0: its own
  std::string solver_type = "auto";        ///< one of solver_type_names(), or "auto": the sampler's own
  std::string lower_order_final = "auto";  ///< "on", "off", or "auto": the convention's
  bool euler_at_final = false;
  std::string prev = "diffusers";  ///< DDIM's previous timestep: "diffusers" (t - T/N) or "next" (the list's)
  std::string variance;            ///< DDPM: one of variance_names()
  std::optional<double> clip_sample;  ///< x0 is limited to +-range; 0 or none: off
  std::optional<double> threshold_ratio,
      threshold_max;                     ///< dynamic thresholding, which wins over clipping; none: off
  std::vector<Lora> loras;               ///< that the denoiser and the text encoders are changed by
  std::vector<Embedding> embeddings;     ///< whose words may stand in the prompts
  std::string noise_dtype = "fp32";      ///< fp32, fp16, bf16: the dtype noise is drawn in
  int64_t vae_tiling = 0;                ///< pixels: the decoder sees squares of them; 0: the whole picture
  int64_t start_step = 0, end_step = 0;  ///< the walk's steps from start to end (0: the last) are made
  bool given_latents = false;            ///< the requests hold their start
  bool operator==(const Settings&) const = default;
};

/// One picture asked for.
struct Request {
  std::string prompt;
  std::optional<std::string> negative_prompt;
  uint32_t seed = 0;
  std::string place;        ///< where the prompt came from, for warnings: "prompt", "prompts.txt:12"
  at::Tensor latents = {};  ///< (C, h, w), where the settings say so: unit noise before the first step, as
                            ///< diffusers takes it, and x itself before any other
};

/// Where a walk stands between two steps: all it needs to go on.
struct WalkState {
  SamplerState sampler;
  std::vector<at::Tensor> streams;  ///< SeededNoise::states()
};

/// Images that the networks of a diffusion stage saw for one picture.
struct Evaluations {
  int64_t made = 0;
  int64_t saved = 0;  ///< more would have been without a guidance interval or zero-init
};

/// One picture made, or why it is unusable (NaN, Inf, constant).
struct Outcome {
  Image image;
  std::string fault;        ///< empty: the image is good
  at::Tensor latents = {};  ///< (C, h, w) after the last step, as diffusers returns them
  Evaluations evaluations = {};
  /// What the denoiser was told: by half and role, such as "prompt-context" (tokens, channels) or
  /// "negative-time_ids", and the refiner: "refiner-prompt-context"; a composition's first prompt.
  std::map<std::string, at::Tensor> told = {};
};

/// Which networks leave the device's memory while others run: none, the text encoders, or all. They wait in
/// the CPU's memory; on the CPU itself they are read from their files again.
enum class Offload { none, text, all };

std::vector<std::string> offload_names();

/// Throws UsageError naming the nearest if there is none of this name.
Offload find_offload(std::string_view name);

/// Prompt -> conditioning -> start -> walk -> autoencoder -> 8-bit image.
class Pipeline {
 public:
  struct Options {
    at::Device device = at::kCPU;
    at::ScalarType precision = at::kFloat;
    Offload offload = Offload::none;
    int64_t vae_slicing = 1;               ///< pictures of a batch that the decoder sees at a time
    std::optional<Manifest> weaker = {};   ///< whose denoiser is loaded too, for autoguidance
    std::optional<Manifest> refiner = {};  ///< that makes the last steps, all but the decoding
  };

  /// Checks the hashes, then loads the networks. Throws UsageError as check_weaker and check_refiner,
  /// ModelError or ResourceError.
  Pipeline(Manifest manifest, Options options, Diagnostics& diagnostics);
  ~Pipeline();

  /// The pictures of the requests, walked together, in their order. The observer sees the latents (B, C, h,
  /// w) after each step and may throw to stop. Throws UsageError for settings the model cannot do (see
  /// check_settings) and for prompts composed of others' weights than the first, ModelError, ResourceError.
  /// With `resume` the walk goes on from there, and `reached` is filled with where it stood at its end.
  std::vector<Outcome> generate(const Settings& settings, const std::vector<Request>& requests,
                                const StepObserver& observer = {}, const WalkState* resume = nullptr,
                                WalkState* reached = nullptr);

  const Manifest& manifest() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// One image's latents: channels, rows, columns.
std::vector<int64_t> latent_shape(const Manifest& manifest, const Settings& settings);

/// The model's own defaults.
Settings default_settings(const Manifest& manifest);

/// Throws UsageError, saying what was given and what is allowed, for a size that is no multiple of the
/// model's factor, an unknown sampler or schedule, more steps than the schedule has, or a combination that
/// makes no sense. Needs no network: called before any is loaded. `refiner` is null without one.
void check_settings(const Settings& settings, const Manifest& manifest, const Manifest* refiner = nullptr);

/// Throws UsageError for a prompt that the settings cannot read.
void check_prompt(const Settings& settings, const std::string& prompt);

/// The same for a negative prompt, and for one that the settings have no use for, or lack.
void check_negative_prompt(const Settings& settings, const std::optional<std::string>& negative_prompt);

/// Throws UsageError, saying why, if `weaker` cannot guide `manifest`'s denoiser: both must take the same
/// inputs, from the same text encoder, and predict the same of latents of one shape.
void check_weaker(const Manifest& manifest, const Manifest& weaker);

/// Throws UsageError, saying why, if `refiner` cannot go on with `manifest`'s latents.
void check_refiner(const Manifest& manifest, const Manifest& refiner);

/// What the text asks for, in parts that add up; several only with settings.compose.
std::vector<WeightedPrompt> prompts_in(const std::string& text, const Settings& settings);

/// Peak bytes a run will need, by part; the sum is what --dry-run prints and what is compared with free
/// memory.
struct MemoryEstimate {
  int64_t weights = 0;
  int64_t activations = 0;
  int64_t runtime = 0;  ///< libtorch itself
  int64_t total() const { return weights + activations + runtime; }
};
/// `prompts` is how many are composed in a picture.
MemoryEstimate estimate_memory(const Manifest& manifest, const Settings& settings, int64_t batch,
                               const Pipeline::Options& options, size_t prompts = 1);

}  // namespace darkroom
