#include <initializer_list>

#include "app/options.h"
#include "darkroom/diffusion/guidance.h"
#include "darkroom/diffusion/sampler.h"
#include "darkroom/text/weighting.h"

namespace darkroom {
namespace {

template <std::vector<std::string> (*names)()>
std::vector<Choice> choices_of() {
  std::vector<Choice> choices;
  for (const std::string& name : names()) choices.push_back({name, {}});
  return choices;
}

std::vector<Choice> sampler_choices() {
  std::vector<Choice> choices;
  for (const SamplerInfo& sampler : samplers())
    choices.push_back({std::string(sampler.name), {sampler.aliases.begin(), sampler.aliases.end()}});
  return choices;
}

std::vector<Choice> schedule_choices() {
  std::vector<Choice> choices;
  for (const SpacingInfo& spacing : spacings())
    choices.push_back({std::string(spacing.name), {spacing.aliases.begin(), spacing.aliases.end()}});
  return choices;
}

std::vector<Choice> long_prompt_choices() { return {{"auto", {}}, {"truncate", {}}, {"chunks", {}}}; }

std::vector<Choice> previous_choices() { return {{"diffusers", {}}, {"next", {}}}; }

std::vector<Choice> solver_type_choices() {
  std::vector<Choice> choices = choices_of<solver_type_names>();
  choices.insert(choices.begin(), {"auto", {}});
  return choices;
}

std::vector<Choice> switch_choices() { return {{"auto", {}}, {"on", {"true"}}, {"off", {"false"}}}; }

std::vector<Choice> noise_dtype_choices() {
  return {{"fp32", {"float32"}}, {"fp16", {"float16"}}, {"bf16", {"bfloat16"}}};
}

std::vector<Choice> precision_choices() {
  return {{"auto", {}}, {"fp32", {"float32"}}, {"bf16", {"bfloat16"}}, {"fp16", {"float16"}}};
}

std::vector<Option> make_table() {
  using enum Scope;
  const std::string prompt = "Prompt", settings = "Picture", guidance = "Guidance",
                    model = "Model and device", output = "Output", start = "Parts of a walk",
                    messages = "Messages";
  // clang-format off
  return {
      {"prompt", 'p', {}, prompt, picture, &Options::prompt, "TEXT",
       "what to show; '-' reads it from standard input; empty: whatever comes to the model"},
      {"negative-prompt", 'n', {}, prompt, picture, &Options::negative_prompt, "TEXT",
       "what to stay away from"},
      {"prompt-file", 'f', {}, prompt, run, &Options::prompt_file, "FILE",
       "many prompts: .txt (one a line, # comments), .jsonl (any option a line), .csv or .tsv with a header"},
      {"seed", 's', {}, prompt, picture, &Options::seed, "N",
       "where the noise starts, 0 to 4294967295; -1 (default): random, and printed", -1, 4294967295},
      {"batch-count", 'b', {}, prompt, line, &Options::batch_count, "N",
       "pictures of each prompt, seeds counting up (default 1)", 1, 1'000'000},
      {"weighting", 0, {}, prompt, picture, &Options::weighting, "NAME",
       "words that count more: none (default, as diffusers: brackets are text), a1111: (x:1.3), (x), [x], BREAK, or compel: x++, (x)1.3", 0, 0, choices_of<weighting_names>},
      {"long-prompt", 0, {}, prompt, picture, &Options::long_prompt, "NAME",
       "past 75 tokens: truncate, as diffusers, or go on in chunks; auto (default): chunks with a --weighting", 0, 0, long_prompt_choices},
      {"clip-skip", 0, {}, prompt, picture, &Options::clip_skip, "N",
       "leave out the text encoder's last N layers, as diffusers counts (default 0); A1111's 'Clip skip' is one more", 0, 100},
      {"width", 'W', {}, settings, picture, &Options::width, "PIXELS",
       "default: the model's", 8, 16384},
      {"height", 'H', {}, settings, picture, &Options::height, "PIXELS",
       "default: the model's", 8, 16384},
      // Before steps and schedule, which may then contradict them.
      {"sigmas", 0, {}, settings, picture, &Options::sigmas, "X,X,...",
       "noise levels to visit instead of a schedule, falling; a 0 at the end may be left out", 0, 1e9},
      {"timesteps", 0, {}, settings, picture, &Options::timesteps, "X,X,...",
       "timesteps to visit instead of a schedule, falling", 0, 1e6},
      {"steps", 0, {}, settings, picture, &Options::steps, "N",
       "sampler steps; default: the model's", 1, 1000},
      {"sampler", 0, {"sampling-method"}, settings, picture, &Options::sampler, "NAME",
       "see 'darkroom list samplers'; default: the model's", 0, 0, sampler_choices},
      {"schedule", 0, {"scheduler"}, settings, picture, &Options::schedule, "NAME",
       "how the steps are spaced, see 'darkroom list schedules'; default: the model's", 0, 0, schedule_choices},
      {"rho", 0, {}, settings, picture, &Options::rho, "X",
       "karras, polyexponential: how much shorter steps are at low noise; default: 7, 1", 0.01, 100},
      {"sigma-min", 0, {}, settings, picture, &Options::sigma_min, "SIGMA",
       "lowest noise level of a curve such as karras; default: the model's", 1e-9, 1e9},
      {"sigma-max", 0, {}, settings, picture, &Options::sigma_max, "SIGMA",
       "highest noise level of a curve such as karras; default: the model's", 1e-9, 1e9},
      {"flow-shift", 0, {}, settings, picture, &Options::flow_shift, "X",
       "rectified flow: how far steps are shifted towards high noise; default: the model's", 1e-3, 1000},
      {"convention", 0, {}, settings, picture, &Options::convention, "NAME",
       "whose numbers where they differ: diffusers (default), or k for k-diffusion, A1111, ComfyUI", 0, 0, choices_of<convention_names>},
      {"eta", 0, {}, settings, picture, &Options::eta, "X",
       "share of the noise added again each step, 0 to 1; default: 0 for ddim, 1 for ancestral samplers", 0, 1},
      {"s-noise", 0, {}, settings, picture, &Options::s_noise, "X",
       "factor on the noise a sampler adds (default 1)", 0, 10},
      {"s-churn", 0, {}, settings, picture, &Options::s_churn, "X",
       "EDM's churn: noise added before each step (default 0)", 0, 1000},
      {"s-tmin", 0, {}, settings, picture, &Options::s_tmin, "SIGMA",
       "churn only above this noise level (default 0)", 0, 1e9},
      {"s-tmax", 0, {}, settings, picture, &Options::s_tmax, "SIGMA",
       "churn only below this noise level (default: any)", 0, 1e9},
      {"solver-order", 0, {}, settings, picture, &Options::solver_order, "N",
       "order of the dpm, deis and unipc samplers, 1 to 3, and of lms, 1 to 4; default: the sampler's", 0, 4},
      {"solver-type", 0, {}, settings, picture, &Options::solver_type, "NAME",
       "midpoint (default) or heun for dpm samplers, bh2 (default) or bh1 for unipc", 0, 0, solver_type_choices},
      {"lower-order-final", 0, {}, settings, picture, &Options::lower_order_final, "NAME",
       "on or off: end short walks (unipc: all) in steps of lower order; default: on, off with --convention k", 0, 0, switch_choices},
      {"euler-at-final", 0, {}, settings, picture, &Options::euler_at_final, "",
       "make the last step of dpm samplers one of order 1"},
      {"rtol", 0, {}, settings, picture, &Options::rtol, "X",
       "adaptive samplers: error allowed in a step, as a share of the values; default: the sampler's", 1e-12, 1},
      {"atol", 0, {}, settings, picture, &Options::atol, "X",
       "adaptive samplers: error allowed in a step, whatever the values; default: the sampler's", 1e-12, 1},
      {"snr", 0, {}, settings, picture, &Options::snr, "X",
       "pc: noise over score of a corrector step (default 0.16)", 0, 10},
      {"corrector-steps", 0, {}, settings, picture, &Options::corrector_steps, "N",
       "pc: corrector steps after each step (default 1)", 0, 100},
      {"original-steps", 0, {}, settings, picture, &Options::original_steps, "N",
       "lcm, tcd: steps the model was distilled on (default 50)", 1, 1000},
      {"prev", 0, {}, settings, picture, &Options::prev, "NAME",
       "ddim, pndm, plms: where a step ends, 'diffusers' (default) or at the 'next' timestep", 0, 0, previous_choices},
      {"variance", 0, {}, settings, picture, &Options::variance, "NAME",
       "ddpm: fixed_small, fixed_large or learned_range; default: the model's", 0, 0, choices_of<variance_names>},
      {"clip-sample", 0, {}, settings, picture, &Options::clip_sample, "RANGE",
       "clip each predicted picture to +-RANGE; 0: off; default: the model's", 0, 1000},
      {"threshold-ratio", 0, {}, settings, picture, &Options::threshold_ratio, "X",
       "dynamic thresholding: the quantile kept, such as 0.995; 0: off; default: the model's", 0, 1},
      {"threshold-max", 0, {}, settings, picture, &Options::threshold_max, "X",
       "dynamic thresholding: the largest value it allows; default: the model's", 1, 1000},
      {"original-width", 0, {}, settings, picture, &Options::original_width, "PIXELS",
       "SDXL: width of the picture before it was scaled for training; default: this picture's", 0, 16384},
      {"original-height", 0, {}, settings, picture, &Options::original_height, "PIXELS",
       "SDXL: its height", 0, 16384},
      {"crop-left", 0, {}, settings, picture, &Options::crop_left, "PIXELS",
       "SDXL: what was cut off at its left (default 0: nothing)", 0, 16384},
      {"crop-top", 0, {}, settings, picture, &Options::crop_top, "PIXELS",
       "SDXL: what was cut off at its top (default 0: nothing)", 0, 16384},
      {"target-width", 0, {}, settings, picture, &Options::target_width, "PIXELS",
       "SDXL: width after that; default: this picture's", 0, 16384},
      {"target-height", 0, {}, settings, picture, &Options::target_height, "PIXELS",
       "SDXL: height after that; default: this picture's", 0, 16384},
      {"aesthetic-score", 0, {}, settings, picture, &Options::aesthetic_score, "X",
       "SDXL's refiner: how good the picture is to look, of 10 (default 6)", 0, 10},
      {"negative-aesthetic-score", 0, {}, settings, picture, &Options::negative_aesthetic_score, "X",
       "SDXL's refiner: the same for the negative prompt (default 2.5)", 0, 10},
      {"vae-tiling", 0, {}, settings, picture, &Options::vae_tiling, "PIXELS",
       "decode in overlapping squares of this side, to save memory; 512 is usual (default 0: all at once)", 0, 16384},
      {"noise-dtype", 0, {}, settings, picture, &Options::noise_dtype, "NAME",
       "draw the noise as fp32 (default), fp16 or bf16; each is another picture", 0, 0, noise_dtype_choices},
      {"cfg-scale", 0, {"guidance-scale"}, guidance, picture, &Options::cfg_scale, "X",
       "how closely to follow the prompt; at most 1: no guidance; default: the model's", 0, 1000},
      {"guidance-start", 0, {}, guidance, picture, &Options::guidance_start, "X",
       "guidance begins after this fraction of the steps (default 0); before, half the work is saved", 0, 1},
      {"guidance-stop", 0, {}, guidance, picture, &Options::guidance_stop, "X",
       "guidance ends after this fraction of the steps (default 1)", 0, 1},
      {"guidance-schedule", 0, {}, guidance, picture, &Options::guidance_schedule, "NAME",
       "constant (default), or a scale that grows: linear or cosine, with the mean --cfg-scale", 0, 0, choices_of<scale_schedule_names>},
      {"guidance-rescale", 0, {"cfg-rescale"}, guidance, picture, &Options::guidance_rescale, "X",
       "give the guided prediction this much of the unguided one's contrast; 0.7 is usual (default 0)", 0, 1},
      {"apg-eta", 0, {}, guidance, picture, &Options::apg_eta, "X",
       "adaptive projected guidance: how much to keep of what only saturates; 0 is usual (default 1)", 0, 10},
      {"apg-norm", 0, {}, guidance, picture, &Options::apg_norm, "X",
       "adaptive projected guidance: longest step towards the prompt; 0 (default): any", 0, 1'000'000},
      {"apg-momentum", 0, {}, guidance, picture, &Options::apg_momentum, "X",
       "adaptive projected guidance: weight of the steps before; -0.5 is usual (default 0)", -1, 1},
      {"cfg-zero", 0, {}, guidance, picture, &Options::cfg_zero, "",
       "CFG-Zero*: scale the unguided prediction to fit the guided one first"},
      {"zero-init-steps", 0, {}, guidance, picture, &Options::zero_init_steps, "N",
       "CFG-Zero*: steps at the start for which the network predicts nothing (default 0)", 0, 1000},
      {"perp-neg", 0, {}, guidance, picture, &Options::perp_neg, "X",
       "strength of what in the negative prompt does not contradict the prompt; 1 is usual (default 0: off)", 0, 100},
      {"cfg-pp", 0, {}, guidance, picture, &Options::cfg_pp, "",
       "CFG++: keep the noise of the negative prompt; takes a --cfg-scale of 0 to 1"},
      {"compose", 0, {}, guidance, picture, &Options::compose, "",
       "read 'a cat :1.2 AND a hat' as two prompts whose guidance adds up"},
      {"autoguidance", 0, {}, guidance, run, &Options::autoguidance, "NAME|DIR",
       "away from what this weaker model makes of the prompt, not from the negative prompt"},
      {"init-latents", 0, {}, start, picture, &Options::init_latents, "FILE.npy",
       "start from these latents (C, h, w): unit noise, as diffusers' latents=; after --start-step x itself"},
      {"start-step", 0, {}, start, picture, &Options::start_step, "N",
       "leave out the first N steps; needs --init-latents (default 0)", 0, 100000},
      {"end-step", 0, {}, start, picture, &Options::end_step, "N",
       "stop after step N of the walk (default: the last)", 0, 100000},
      {"save-latents", 0, {}, start, run, &Options::save_latents, "",
       "write the latents beside each picture, as NAME.npy (C, h, w), float32"},
      {"trace-latents", 0, {}, start, run, &Options::trace_latents, "DIR",
       "write the latents after every step, as DIR/NAME-step-0001.npy, and what the denoiser was told, as NAME-prompt-context.npy"},
      {"save-state", 0, {}, start, run, &Options::save_state, "FILE.safetensors",
       "write where the walk stands at its end or at --end-step; one picture"},
      {"load-state", 0, {}, start, run, &Options::load_state, "FILE.safetensors",
       "go on with that walk: the same picture to the bit as without a stop; one picture"},
      {"model", 'm', {}, model, run, &Options::model, "NAME|DIR",
       "see 'darkroom list models' (default emoji)"},
      {"refiner", 0, {}, model, run, &Options::refiner, "NAME|DIR",
       "a model that makes the last steps, such as SDXL's refiner"},
      {"refiner-start", 0, {"refiner-switch-at"}, model, picture, &Options::refiner_start, "X",
       "after this share of the noise schedule it takes over (default 0.8), as diffusers' denoising_end", 0, 1},
      {"lora", 0, {}, model, picture, &Options::loras, "FILE[:WEIGHT]",
       "change the model by a LoRA (.safetensors), by default at weight 1; may be given several times"},
      {"embedding", 0, {"textual-inversion"}, model, picture, &Options::embeddings, "[NAME=]FILE",
       "a textual inversion (.safetensors): NAME, by default the file's, stands in prompts for its vectors; "
       "may be given several times"},
      {"device", 0, {}, model, run, &Options::device, "NAME",
       "auto (default), cpu, cuda or cuda:N"},
      {"precision", 0, {}, model, run, &Options::precision, "NAME",
       "auto (default), fp32, bf16 or fp16", 0, 0, precision_choices},
      {"threads", 't', {}, model, run, &Options::threads, "N",
       "CPU threads; default: one for each core", 1, 1024},
      {"batch-size", 0, {}, model, run, &Options::batch_size, "N",
       "pictures made at once, if their settings agree (default 1)", 1, 1024},
      {"offload", 0, {}, model, run, &Options::offload, "NAME",
       "networks that leave the device's memory while others run: none (default), text (the encoders) or all", 0, 0, choices_of<offload_names>},
      {"vae-slicing", 0, {}, model, run, &Options::vae_slicing, "N",
       "pictures of a batch that the decoder sees at a time (default 1); each takes memory", 1, 1024},
      {"output", 'o', {}, output, run, &Options::output, "DIR|FILE.png",
       "a folder, made if missing, or a file in a folder that exists (default: the current folder)"},
      {"name", 0, {}, output, run, &Options::name, "TEMPLATE",
       "file names in the folder (default {index}-{slug}-{seed}.png)"},
      {"force", 0, {}, output, run, &Options::force, "",
       "overwrite files that are there already"},
      {"no-metadata", 0, {}, output, run, &Options::no_metadata, "",
       "leave the prompt and the settings out of the files; a run cannot skip these on resuming"},
      {"dry-run", 0, {}, output, command, &Options::dry_run, "",
       "print the plan and the memory it needs; make nothing"},
      {"json", 0, {}, messages, run, &Options::json, "",
       "one JSON object a line on standard output"},
      {"quiet", 'q', {}, messages, run, &Options::quiet, "",
       "errors only"},
      {"verbose", 'v', {}, messages, run, &Options::verbose, "",
       "how often the networks were asked, and the whole text of errors that come from libtorch"},
      {"config", 0, {}, messages, command, &Options::config, "FILE",
       "lines 'option = value', overridden by the command line"},
      {"version", 0, {}, messages, command, &Options::version, "",
       "print the version"},
      {"help", 'h', {}, messages, command, &Options::help, "",
       "print this help"},
  };
  // clang-format on
}

}  // namespace

const std::vector<Option>& option_table() {
  static const std::vector<Option> table = make_table();
  return table;
}

}  // namespace darkroom
