#include "model/guidance.h"

#include "darkroom/base/error.h"
#include "model/settings.h"

namespace darkroom {
namespace {

bool projects(const Settings& s) { return s.apg_eta != 1 || s.apg_norm > 0 || s.apg_momentum != 0; }

void refuse(bool condition, const std::string& reason) {
  if (condition) throw UsageError(reason);
}

// Options that change guidance say nothing where there is none.
void check_unguided(const Settings& s) {
  const auto unread = [](bool given, const char* option) {
    refuse(given, std::string(option) + " has no effect without guidance, which needs a --cfg-scale over 1");
  };
  unread(s.guidance_start > 0, "--guidance-start");
  unread(s.guidance_stop < 1, "--guidance-stop");
  unread(s.guidance_schedule != "constant", "--guidance-schedule");
  unread(s.guidance_rescale > 0, "--guidance-rescale");
  unread(s.apg_eta != 1, "--apg-eta");
  unread(s.apg_norm > 0, "--apg-norm");
  unread(s.apg_momentum != 0, "--apg-momentum");
  unread(s.cfg_zero, "--cfg-zero");
  unread(s.perp_neg > 0, "--perp-neg");
  unread(s.autoguided, "--autoguidance");
}

void check_interval(const Settings& s) {
  const auto steps = static_cast<double>(s.steps);
  refuse(static_cast<int64_t>(s.guidance_start * steps) >= static_cast<int64_t>(s.guidance_stop * steps),
         "--guidance-start and --guidance-stop leave none of " + std::to_string(s.steps) +
             " steps between them; for no guidance give --cfg-scale 1");
}

void check_cfg_pp(const Settings& s) {
  refuse(s.cfg_scale > 1,
         "--cfg-pp needs a --cfg-scale of 0 to 1; other programs divide theirs by 12.5, so 7.5 is 0.6 here");
  refuse(s.guidance_schedule != "constant",
         "--guidance-schedule begins at scale 1, which for --cfg-pp is the strongest; give one of them");
  refuse(s.autoguided,
         "--cfg-pp takes the noise from the negative prompt, which --autoguidance does not ask about");
}

// Equal where two models turn every prompt into the same conditioning.
std::vector<std::string> conditioning_of(const Manifest& manifest) {
  std::vector<std::string> parts;
  for (const Manifest::Conditioning& conditioning : manifest.conditioning) {
    parts.insert(parts.end(), {conditioning.role, conditioning.empty});
    parts.insert(parts.end(), conditioning.values.begin(), conditioning.values.end());
    for (const Manifest::Source& source : conditioning.from) {
      const Manifest::Tokenizer& tokenizer = manifest.tokenizers.at(source.tokenizer);
      parts.insert(parts.end(),
                   {tokenizer.kind, tokenizer.sha256, tokenizer.pad, std::to_string(tokenizer.length),
                    manifest.networks.at(source.network).sha256, source.output});
    }
  }
  return parts;
}

/// Its inputs but for those of a ControlNet.
std::vector<std::string> told(const Manifest::Network& denoiser) {
  std::vector<std::string> roles = denoiser.inputs;
  std::erase_if(roles, is_residual);
  return roles;
}

}  // namespace

bool is_guided(const Settings& settings) {
  return !settings.guidance_embedded && (settings.cfg_scale > 1 || settings.cfg_pp);
}

int64_t guided_branches(const Settings& settings, size_t prompts) {
  return static_cast<int64_t>(prompts) + (settings.perp_neg > 0 ? 2 : 1);
}

void check_guidance(const Settings& s, const Manifest::Stage& stage) {
  find_scale_schedule(s.guidance_schedule);
  refuse(s.guidance_embedded && s.cfg_pp,
         "--cfg-pp: this model is told the guidance scale, and has no other guidance");
  if (!is_guided(s)) check_unguided(s);
  if (s.cfg_pp) check_cfg_pp(s);
  check_interval(s);
  refuse(
      s.autoguided && s.perp_neg > 0,
      "--autoguidance moves away from a weaker model, --perp-neg from a negative prompt; give one of them");
  refuse(s.autoguided && s.compose,
         "--autoguidance compares one prompt, --compose is for several; give one of them");
  refuse(s.zero_init_steps >= s.steps, "--zero-init-steps " + std::to_string(s.zero_init_steps) +
                                           " leaves none of " + std::to_string(s.steps) +
                                           " steps to the network");
  refuse(s.zero_init_steps > 0 && stage.variance == "learned_range",
         "--zero-init-steps: this model's network also learned the variance, and would not be called");
}

Denoise guidance_of(const Settings& s, const Manifest::Stage& stage, const Walk& walk,
                    BranchedDenoiser denoiser) {
  Compare compare = s.autoguided     ? autoguidance(denoiser)
                    : s.perp_neg > 0 ? perpendicular_negative(denoiser, s.perp_neg)
                                     : classifier_free(denoiser);
  if (s.cfg_zero) compare = optimised_scale(std::move(compare));
  if (projects(s))
    compare = adaptive_projection(std::move(compare),
                                  {.eta = s.apg_eta, .norm = s.apg_norm, .momentum = s.apg_momentum});
  const PredictionType type = denoiser.kind.type;
  GuidanceScale scale = scale_over(walk, {.scale = is_guided(s) ? s.cfg_scale : 1,
                                          .start = s.guidance_start,
                                          .stop = s.guidance_stop,
                                          .schedule = find_scale_schedule(s.guidance_schedule),
                                          .train_steps = stage.schedule.steps,
                                          .cfg_pp = s.cfg_pp});
  Denoise denoise = guide(std::move(compare), prompts_alone(std::move(denoiser)), type, std::move(scale),
                          {.rescale = s.guidance_rescale, .cfg_pp = s.cfg_pp});
  if (s.zero_init_steps > 0) denoise = zero_init(std::move(denoise), type, walk, s.zero_init_steps);
  return denoise;
}

std::vector<WeightedPrompt> prompts_in(const std::string& text, const Settings& settings) {
  return settings.compose ? split_composition(text) : std::vector<WeightedPrompt>{{text, 1}};
}

void check_negative_prompt(const Settings& settings, const std::optional<std::string>& negative_prompt) {
  refuse(settings.perp_neg > 0 && !negative_prompt, "--perp-neg needs a --negative-prompt");
  refuse(
      settings.autoguided && negative_prompt,
      "--negative-prompt has no effect with --autoguidance, which moves away from the weaker model instead");
  if (negative_prompt) check_prompt(settings, *negative_prompt);
}

void check_weaker(const Manifest& manifest, const Manifest& weaker) {
  const Manifest::Stage &stage = manifest.stages.front(), &other = weaker.stages.front();
  const auto need = [&](bool same, const char* what) {
    refuse(!same, "--autoguidance: '" + weaker.name + "' does not fit '" + manifest.name + "': " + what);
  };
  need(other.state == stage.state && weaker.output.factor == manifest.output.factor,
       "its latents have another shape");
  need(other.prediction == stage.prediction && other.variance == stage.variance,
       "it predicts something else");
  need(same_levels(other, stage), "it was trained on another noise schedule");
  need(told(weaker.networks.at(other.denoiser)) == told(manifest.networks.at(stage.denoiser)),
       "its denoiser takes other inputs");
  need(conditioning_of(weaker) == conditioning_of(manifest), "its text encoder is another");
}

}  // namespace darkroom
