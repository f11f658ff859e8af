#include "model/settings.h"

#include "darkroom/base/error.h"
#include "model/guidance.h"

namespace darkroom {
namespace {

void check_size(const char* what, int64_t pixels, int64_t factor) {
  if (pixels >= factor && pixels % factor == 0) return;
  const int64_t below = std::max(factor, pixels / factor * factor);
  std::string message = std::string(what) + " " + std::to_string(pixels) + " is no multiple of " +
                        std::to_string(factor) + ", as this model needs; nearest: " + std::to_string(below);
  if (pixels > factor) message += " or " + std::to_string(below + factor);
  throw UsageError(message);
}

void refuse_unread(bool given, bool read, const char* option, std::string_view sampler) {
  if (given && !read)
    throw UsageError(std::string(option) + " has no effect on sampler '" + std::string(sampler) + "'");
}

}  // namespace

Settings default_settings(const Manifest& manifest) {
  const Manifest::Stage& stage = manifest.stages.front();
  Settings settings;
  settings.width = manifest.defaults.width;
  settings.height = manifest.defaults.height;
  settings.steps = manifest.defaults.steps;
  settings.cfg_scale = manifest.defaults.cfg_scale;
  settings.sampler = manifest.defaults.sampler;
  settings.schedule = manifest.defaults.schedule;
  settings.variance = stage.variance;
  settings.clip_sample = stage.clip_sample;
  settings.threshold_ratio = stage.threshold_ratio;
  settings.threshold_max = stage.threshold_max;
  return settings;
}

void check_settings(const Settings& settings, const Manifest& manifest) {
  const Manifest::Stage& stage = manifest.stages.front();
  check_size("width", settings.width, manifest.output.factor);
  check_size("height", settings.height, manifest.output.factor);

  const SamplerInfo& sampler = find_sampler(settings.sampler);
  refuse_unread(settings.eta != 0, sampler.uses_eta, "--eta", sampler.name);
  refuse_unread(settings.variance != stage.variance, sampler.uses_variance, "--variance", sampler.name);
  refuse_unread(settings.prev != "diffusers", sampler.uses_previous, "--prev", sampler.name);
  if (settings.threshold_max != stage.threshold_max && !settings.threshold_ratio)
    throw UsageError("--threshold-max has no effect without --threshold-ratio");
  if (settings.variance == "learned_range" && stage.variance != "learned_range")
    throw UsageError("--variance learned_range: this model's denoiser has learned no variance");

  check_guidance(settings, stage);
  const Walk walk = walk_of(settings, stage);
  if (walk.steps.front().at.alpha == 0 && find_prediction_type(stage.prediction) == PredictionType::epsilon)
    throw UsageError(
        "schedule '" + settings.schedule +
        "' starts at zero signal, where this model's epsilon prediction says nothing about the picture; "
        "use the schedule 'leading'");
}

Walk walk_of(const Settings& settings, const Manifest::Stage& stage) {
  const SamplerInfo& sampler = find_sampler(settings.sampler);
  return build_walk(NoiseSchedule(stage.schedule),
                    {.spacing = find_spacing(settings.schedule),
                     .steps = settings.steps,
                     .steps_offset = stage.steps_offset,
                     .previous = settings.prev == "next" ? Previous::next : sampler.previous,
                     .final_alpha_one = sampler.final_alpha_one || stage.set_alpha_to_one});
}

SamplerOptions sampler_options_of(const Settings& settings) {
  return {.eta = settings.eta, .variance = find_variance(settings.variance)};
}

OutputKind output_kind(const Manifest::Stage& stage) {
  return {find_prediction_type(stage.prediction), stage.variance == "learned_range"};
}

Denoise denoiser_of(const Settings& settings, const Manifest::Stage& stage, const Walk& walk,
                    BranchedDenoiser denoiser) {
  Denoise denoise = guidance_of(settings, stage, walk, std::move(denoiser));
  if (settings.threshold_ratio)
    return dynamic_threshold(std::move(denoise), *settings.threshold_ratio,
                             settings.threshold_max.value_or(1));
  if (settings.clip_sample) return clip_sample(std::move(denoise), *settings.clip_sample);
  return denoise;
}

std::vector<int64_t> state_shape(const Manifest::Stage& stage, int64_t width, int64_t height) {
  const auto count = [](const std::string& size) { return std::stoll(size.substr(size.find('/') + 1)); };
  return {count(stage.state[0]), height / count(stage.state[1]), width / count(stage.state[2])};
}

}  // namespace darkroom
