#include "model/settings.h"

#include <algorithm>

#include "darkroom/base/error.h"
#include "model/guidance.h"
#include "model/legs.h"
#include "model/picture_values.h"
#include "model/reading.h"

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

// `row` is a sampler or a schedule.
template <class Row>
void refuse_unread(const char* kind, const Row& row, std::string_view option, bool given) {
  if (given && !row.reads(option))
    throw UsageError("--" + std::string(option) + " has no effect on " + kind + " '" + std::string(row.name) +
                     "'");
}

std::vector<int64_t> state_shape(const Manifest::Stage& stage, const Settings& settings) {
  const auto count = [](const std::string& size) { return std::stoll(size.substr(size.find('/') + 1)); };
  return {count(stage.state[0]), settings.height / count(stage.state[1]),
          settings.width / count(stage.state[2])};
}

void check_part(const Settings& settings, int64_t steps) {
  if (settings.start_step > 0 && !settings.given_latents)
    throw UsageError("--start-step needs the latents to start from (--init-latents)");
  const std::string of = "; this walk has " + std::to_string(steps) + " steps";
  if (settings.start_step >= steps)
    throw UsageError("--start-step " + std::to_string(settings.start_step) + of);
  if (settings.end_step > steps) throw UsageError("--end-step " + std::to_string(settings.end_step) + of);
  if (settings.end_step > 0 && settings.end_step <= settings.start_step)
    throw UsageError("--end-step " + std::to_string(settings.end_step) + " is not after --start-step " +
                     std::to_string(settings.start_step));
}

void check_refined(const Settings& settings, const Manifest* refiner) {
  const auto refuse = [](bool condition, const char* reason) {
    if (condition) throw UsageError(reason);
  };
  if (!refiner)
    return refuse(settings.refiner_start != Settings().refiner_start,
                  "--refiner-start has no effect without --refiner");
  refuse(settings.start_step > 0 || settings.end_step > 0,
         "--refiner walks to the end; --start-step and --end-step are for one model");
  refuse(settings.autoguided, "--autoguidance has one weaker model, for one that is not refined");
}

void check_solver(const SamplerInfo& sampler, const Settings& settings) {
  refuse_unread("sampler", sampler, "solver-order", settings.solver_order != 0);
  refuse_unread("sampler", sampler, "solver-type", settings.solver_type != "auto");
  refuse_unread("sampler", sampler, "lower-order-final", settings.lower_order_final != "auto");
  refuse_unread("sampler", sampler, "euler-at-final", settings.euler_at_final);
  if (settings.solver_order > sampler.highest_order)
    throw UsageError("--solver-order " + std::to_string(settings.solver_order) + ": sampler '" +
                     std::string(sampler.name) + "' has orders 1 to " +
                     std::to_string(sampler.highest_order));
  if (settings.solver_type == "auto") return;
  std::string allowed;
  for (const std::string& name : solver_type_names())
    if (std::ranges::count(sampler.solver_types, find_solver_type(name)))
      allowed += (allowed.empty() ? "" : " or ") + name;
  if (!std::ranges::count(sampler.solver_types, find_solver_type(settings.solver_type)))
    throw UsageError("--solver-type " + settings.solver_type + ": sampler '" + std::string(sampler.name) +
                     "' has " + allowed);
}

void check_schedule(const Settings& settings) {
  const SpacingInfo& spacing = find_spacing(settings.schedule);
  const auto refuse = [&](std::string_view option, bool given) {
    refuse_unread("schedule", spacing, option, given);
  };
  refuse("rho", settings.rho.has_value());
  refuse("sigma-min", settings.sigma_min.has_value());
  refuse("sigma-max", settings.sigma_max.has_value());
  refuse("sigmas", !settings.sigmas.empty());
  refuse("timesteps", !settings.timesteps.empty());
  const auto listed = static_cast<int64_t>(std::max(settings.sigmas.size(), settings.timesteps.size()));
  if (listed > 0 && settings.steps != listed)
    throw UsageError("--steps " + std::to_string(settings.steps) + ", but --" + settings.schedule +
                     " lists " + std::to_string(listed));
}

}  // namespace

Settings default_settings(const Manifest& manifest) {
  const Manifest::Stage& stage = manifest.stages.front();
  Settings settings;
  settings.width = manifest.defaults.width;
  settings.height = manifest.defaults.height;
  settings.steps = manifest.defaults.steps;
  settings.cfg_scale = manifest.defaults.cfg_scale;
  settings.guidance_embedded = embeds_guidance(manifest);
  settings.aesthetic_score = manifest.defaults.aesthetic_score;
  settings.negative_aesthetic_score = manifest.defaults.negative_aesthetic_score;
  settings.sampler = manifest.defaults.sampler;
  settings.schedule = manifest.defaults.schedule;
  settings.variance = stage.variance;
  settings.clip_sample = stage.clip_sample;
  settings.threshold_ratio = stage.threshold_ratio;
  settings.threshold_max = stage.threshold_max;
  return settings;
}

void check_settings(const Settings& settings, const Manifest& manifest, const Manifest* refiner) {
  const Manifest::Stage& stage = manifest.stages.front();
  check_size("width", settings.width, manifest.output.factor);
  check_size("height", settings.height, manifest.output.factor);

  if (settings.vae_tiling > 0) check_size("--vae-tiling", settings.vae_tiling, 4 * manifest.output.factor);

  const SamplerInfo& sampler = find_sampler(settings.sampler);
  const auto refuse = [&](std::string_view option, bool given) {
    refuse_unread("sampler", sampler, option, given);
  };
  refuse("eta", settings.eta.has_value());
  refuse("s-noise", settings.s_noise.has_value());
  refuse("s-churn", settings.s_churn.has_value());
  refuse("s-tmin", settings.s_tmin.has_value());
  refuse("s-tmax", settings.s_tmax.has_value());
  refuse("rtol", settings.rtol.has_value());
  refuse("atol", settings.atol.has_value());
  refuse("snr", settings.snr.has_value());
  refuse("corrector-steps", settings.corrector_steps != Settings().corrector_steps);
  refuse("original-steps", settings.original_steps != Settings().original_steps);
  refuse("variance", settings.variance != stage.variance);
  refuse("prev", settings.prev != "diffusers");
  refuse("cfg-pp", settings.cfg_pp && !sampler.reads_eps);
  refuse("schedule", sampler.grid == Grid::consistency && settings.schedule != manifest.defaults.schedule);
  check_solver(sampler, settings);
  check_schedule(settings);
  if (settings.flow_shift && !stage.flow)
    throw UsageError("--flow-shift is for rectified flow models, which this is not");
  if (settings.threshold_max != stage.threshold_max && settings.threshold_ratio.value_or(0) == 0)
    throw UsageError("--threshold-max has no effect without --threshold-ratio");
  if (settings.variance == "learned_range" && stage.variance != "learned_range")
    throw UsageError("--variance learned_range: this model's denoiser has learned no variance");

  check_picture_values(settings, manifest, refiner);
  check_reading(settings, manifest);
  if (refiner) check_reading(settings, *refiner);
  check_guidance(settings, stage);
  check_refined(settings, refiner);
  const Walk walk = walk_of(settings, stage);
  check_part(settings, static_cast<int64_t>(walk.steps.size()));
  if (refiner) legs_of(settings, stage, &refiner->stages.front());
  if (walk.steps.front().at.alpha == 0 && find_prediction_type(stage.prediction) == PredictionType::epsilon)
    throw UsageError(
        "schedule '" + settings.schedule +
        "' starts at zero signal, where this model's epsilon prediction says nothing about the picture; "
        "use the schedule 'leading'");
}

Walk walk_of(const Settings& settings, const Manifest::Stage& stage) {
  const SamplerInfo& sampler = find_sampler(settings.sampler);
  const WalkOptions options = {
      .spacing = &find_spacing(settings.schedule),
      .steps = settings.steps,
      .steps_offset = stage.steps_offset,
      .grid = sampler.grid,
      .original_steps = settings.original_steps,
      .rounds_karras = sampler.rounds_karras,
      .previous = settings.prev == "next" ? Previous::next : sampler.previous,
      .final = sampler.model_decides_final && stage.set_alpha_to_one ? Final::zero : sampler.final,
      .convention = find_convention(settings.convention),
      .base = stage.base_spacing,
      .rho = settings.rho,
      .sigma_min = settings.sigma_min,
      .sigma_max = settings.sigma_max,
      .sigmas = settings.sigmas,
      .timesteps = settings.timesteps,
      .flow_from_one = sampler.flow_from_one,
      .align_your_steps = stage.align_your_steps};
  const auto whole = [&](Walk walk) { return sampler.at_once ? at_once(std::move(walk)) : walk; };
  if (!stage.flow) return whole(build_walk(NoiseSchedule(stage.schedule), options));
  const std::vector<int64_t> shape = state_shape(stage, settings);
  return whole(build_walk(
      make_flow_schedule(*stage.flow, stage.schedule.steps, shape[1], shape[2], settings.flow_shift),
      options));
}

bool same_levels(const Manifest::Stage& a, const Manifest::Stage& b) {
  if (a.flow || b.flow) return a.flow == b.flow && a.schedule.steps == b.schedule.steps;
  return NoiseSchedule(a.schedule).alphas_cumprod() == NoiseSchedule(b.schedule).alphas_cumprod();
}

SamplerOptions sampler_options_of(const Settings& settings) {
  SamplerOptions options =
      default_options(find_sampler(settings.sampler), find_convention(settings.convention));
  options.eta = settings.eta.value_or(options.eta);
  options.variance = find_variance(settings.variance);
  options.order = settings.solver_order;
  if (settings.solver_type != "auto") options.solver_type = find_solver_type(settings.solver_type);
  if (settings.lower_order_final != "auto") options.lower_order_final = settings.lower_order_final == "on";
  options.euler_at_final = settings.euler_at_final;
  options.s_noise = settings.s_noise.value_or(options.s_noise);
  options.s_churn = settings.s_churn.value_or(options.s_churn);
  options.s_tmin = settings.s_tmin.value_or(options.s_tmin);
  options.s_tmax = settings.s_tmax.value_or(options.s_tmax);
  options.rtol = settings.rtol.value_or(options.rtol);
  options.atol = settings.atol.value_or(options.atol);
  options.snr = settings.snr.value_or(options.snr);
  options.corrector_steps = settings.corrector_steps;
  return options;
}

bool is_brownian(const Settings& settings) {
  const Draws draws = find_sampler(settings.sampler).draws;
  return draws == Draws::brownian ||
         (draws == Draws::brownian_k && find_convention(settings.convention) == Convention::k);
}

OutputKind output_kind(const Manifest::Stage& stage) {
  return {find_prediction_type(stage.prediction), stage.variance == "learned_range"};
}

Denoise denoiser_of(const Settings& settings, const Manifest::Stage& stage, const Walk& walk,
                    BranchedDenoiser denoiser) {
  Denoise denoise = guidance_of(settings, stage, walk, std::move(denoiser));
  if (!stage.flow) denoise = unit_variance(std::move(denoise));
  // CFG++ is an eps of its own, which limiting x0 must not undo.
  const LimitedEps limited_eps =
      settings.cfg_pp ? LimitedEps::kept : find_sampler(settings.sampler).limited_eps;
  if (settings.threshold_ratio.value_or(0) > 0)
    return dynamic_threshold(std::move(denoise), *settings.threshold_ratio,
                             settings.threshold_max.value_or(1), limited_eps);
  if (settings.clip_sample.value_or(0) > 0)
    return clip_sample(std::move(denoise), *settings.clip_sample, limited_eps);
  return denoise;
}

std::vector<int64_t> latent_shape(const Manifest& manifest, const Settings& settings) {
  return state_shape(manifest.stages.front(), settings);
}

}  // namespace darkroom
