#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/diffusion/prediction.h"
#include "darkroom/diffusion/walk.h"

namespace darkroom {

/// One question to a denoiser.
struct Branch {
  enum class Conditioning { prompt, negative, empty };
  Conditioning conditioning = Conditioning::prompt;
  size_t prompt = 0;    ///< which, where several are composed
  bool weaker = false;  ///< asked of the weaker denoiser of autoguidance
};

/// Raw network outputs for x under the wanted branches, in that order: one call for all branches of a
/// network. Batches are laid out branch by branch, [negative (all images), prompt (all images)], as in
/// diffusers.
using Branches = std::function<std::vector<at::Tensor>(const at::Tensor& x, const Level& level,
                                                       const std::vector<Branch>& wanted)>;

/// How to read a raw output.
struct OutputKind {
  PredictionType type = PredictionType::epsilon;
  bool learned_variance =
      false;  ///< twice the channels: prediction, then variance (Nichol & Dhariwal 2102.09672)
};

/// A denoiser that can be asked about several conditionings.
struct BranchedDenoiser {
  Branches branches;
  OutputKind kind = {};
  std::vector<double> weights = {1};  ///< of the prompts, one each
};

/// What a guidance compares, in raw outputs (B, C, ...): the guided output is base + scale * towards. At
/// scale 1, with neither changed, that is `conditional`.
struct Comparison {
  at::Tensor conditional;  ///< what the prompts say
  at::Tensor base;         ///< what is moved away from
  at::Tensor towards;
  at::Tensor variance;  ///< learned, from the first prompt; undefined if there is none
};

/// Asks a denoiser and compares. One wraps another: projection and optimised scale change what any of the
/// others says.
using Compare = std::function<Comparison(const at::Tensor& x, const Level& level)>;

/// Base: the negative prompt (Ho & Salimans 2207.12598). Several prompts c_i of weights w_i are composed as
/// A1111 does it, u + scale * sum w_i (c_i - u) (Liu et al. 2206.01714).
Compare classifier_free(BranchedDenoiser denoiser);

/// Base: the empty prompt e. Of the negative prompt n only what is perpendicular to the prompt counts:
/// towards = (c - e) - strength * perp(n - e) (Perp-Neg, Armandpour et al. 2304.04968; as ComfyUI's
/// PerpNegGuider, but for each image alone).
Compare perpendicular_negative(BranchedDenoiser denoiser, double strength);

/// Base: the weaker denoiser, asked about the same prompt (Karras et al. 2406.02507). One prompt.
Compare autoguidance(BranchedDenoiser denoiser);

/// The prompts alone: `conditional` and `variance`, the rest undefined. Asks about the negative prompt only
/// where several prompts' weights do not sum to 1.
Compare prompts_alone(BranchedDenoiser denoiser);

struct ProjectionOptions {
  double eta = 1;       ///< keeps this much of what is parallel to `conditional`
  double norm = 0;      ///< shortens `towards` to this L2 norm per image; 0: off
  double momentum = 0;  ///< adds this much of the running `towards` of the calls before, which are summed so
};

/// Adaptive projected guidance (Sadat et al. 2410.02416) on raw outputs, as diffusers'
/// AdaptiveProjectedGuidance; the paper's is on x0. Momentum is kept between calls: make one for each walk.
Compare adaptive_projection(Compare compare, ProjectionOptions options);

/// CFG-Zero* (Fan et al. 2503.18886): the base is first scaled, per image, to lie nearest to
/// `conditional`. diffusers: ClassifierFreeZeroStarGuidance.
Compare optimised_scale(Compare compare);

/// The guidance scale at a level; none: the prompts alone.
using GuidanceScale = std::function<std::optional<double>(const Level&)>;

/// How the scale w changes from noise (u = 1) to picture (u = 0), u being timestep / trained timesteps: 1 +
/// (w - 1) f(u), f having the mean 1 (Wang et al. 2404.13040).
enum class ScaleSchedule {
  constant,
  linear,  ///< f = 2 (1 - u)
  cosine,  ///< f = 1 + cos(pi u)
};

std::vector<std::string> scale_schedule_names();

/// Throws UsageError naming the nearest if there is none of this name.
ScaleSchedule find_scale_schedule(std::string_view name);

struct ScaleOptions {
  double scale = 1;
  double start = 0, stop = 1;  ///< fractions of the walk's steps: on where int(start N) <= i < int(stop N)
  ScaleSchedule schedule = ScaleSchedule::constant;
  int64_t train_steps = 1000;
  bool cfg_pp = false;  ///< a scale of CFG++: at most 1 is guidance too
};

/// The scale over a walk; none outside the interval, and where it is at most 1 (diffusers: guiders). Levels
/// decide, not calls: what a sampler asks between step i and i + 1 belongs to step i.
GuidanceScale scale_over(const Walk& walk, const ScaleOptions& options);

struct GuideOptions {
  double rescale = 0;   ///< phi of guidance rescale (Lin et al. 2305.08891, eq. 15 and 16)
  bool cfg_pp = false;  ///< CFG++ (Chung et al. 2406.08070): x0 is the guided one's, eps the base's
};

/// The guided prediction. Where `scale` says none, `alone` is asked and `compare` is not.
Denoise guide(Compare compare, Compare alone, PredictionType type, GuidanceScale scale, GuideOptions options);

/// CFG-Zero*'s zero-init: in the walk's first `steps` steps the raw output is zero, and no network is called.
/// Without a learned variance.
Denoise zero_init(Denoise denoise, PredictionType type, const Walk& walk, int64_t steps);

}  // namespace darkroom
