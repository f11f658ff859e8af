#include "diffusion/golden_case.h"

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <numbers>

#include "darkroom/diffusion/flow.h"

namespace darkroom::testing {

using nlohmann::json;

namespace {

const Safetensors& goldens(const std::string& file) {
  static std::map<std::string, std::unique_ptr<Safetensors>> files;
  std::unique_ptr<Safetensors>& held = files[file];
  if (!held) held = std::make_unique<Safetensors>(DARKROOM_TEST_DATA "/goldens/" + file + ".safetensors");
  return *held;
}

bool known(const json& c) {
  for (const SamplerInfo& sampler : samplers())
    if (sampler.name == c["sampler"].get<std::string>()) return true;
  return false;
}

/// LCM and TCD, whose list of timesteps is the grid of four steps once more.
bool consistency(const json& c) { return c["sampler"] == "lcm" || c["sampler"] == "tcd"; }

// What a deviation from the reference is for; each is named at the function that deviates.
bool deviates(const json& c) {
  // diffusers' PNDM averages what the network put out and makes eps of the mean; for v that is another mean
  // than the paper's, which is one of eps. (A walk of one step, where no mean is taken, loses 1.8e-5 upstream
  // to a division by alpha = 1/157.)
  const bool pndm = c["sampler"] == "plms" || c["sampler"] == "pndm";
  if (pndm && c["prediction"] == "v") return true;
  // diffusers' DEIS ends a curve of a single level where it begins.
  if (c["sampler"] == "deis" && c["steps"] == 1 && !find_spacing(c["schedule"].get<std::string>()).timesteps)
    return true;
  // With noise, diffusers' third order has the wrong sign at the curvature: dpmpp.cpp.
  const bool lowers = c["options"].value("lower_order_final", true) && c["steps"] < 15;
  const bool reaches_third_order = c["steps"] > (lowers ? 4 : 2);
  if (c["sampler"] == "dpm++3m_sde" && c["convention"] == "diffusers" && reaches_third_order) return true;
  // A strength below 1 is how image-to-image shortens these grids, which is not a sampler's to know.
  if (consistency(c) && c.value("strength", 1.0) < 1) return true;
  // Mochi's inverted sigmas: the same walk with the network's output negated, which no model here needs.
  if (c.contains("flow") && c["flow"].contains("invert_sigmas")) return true;
  // EDM's churn asks the denoiser after the noise is added, diffusers before.
  return c["options"].contains("s_churn") && c["convention"] == "diffusers";
}

std::optional<double> number_of(const json& c, const char* key) {
  return c.contains(key) ? std::optional<double>(c[key]) : std::nullopt;
}

// Without the final 0 that some references want in it.
std::vector<double> list_of(const json& c, const char* key) {
  std::vector<double> list = c.value(key, std::vector<double>{});
  if (!list.empty() && list.back() == 0) list.pop_back();
  return list;
}

SamplerOptions options_of(const json& c, const SamplerInfo& sampler) {
  SamplerOptions options = default_options(sampler, find_convention(c["convention"].get<std::string>()));
  if (c["sampler"] == "dpm++2s") options.lower_order_final = false;  // diffusers' default, as recorded
  for (const auto& [name, value] : c["options"].items()) {
    if (name == "eta")
      options.eta = value;
    else if (name == "s_noise")
      options.s_noise = value;
    else if (name == "stochastic")
      options.eta = 1e9;  // Euler a that renews all noise
    else if (name == "s_churn")
      options.s_churn = value;
    else if (name == "s_tmin")
      options.s_tmin = value;
    else if (name == "s_tmax")
      options.s_tmax = value;
    else if (name == "order")
      options.order = value;
    else if (name == "solver")
      options.solver_type = find_solver_type(value.get<std::string>());
    else if (name == "lower_order_final")
      options.lower_order_final = value;
    else if (name == "euler_at_final")
      options.euler_at_final = value;
    else if (name == "disable_corrector")
      options.disable_corrector = value.get<std::vector<size_t>>();
    else if (name == "rtol")
      options.rtol = value;
    else if (name == "atol")
      options.atol = value;
    else if (name == "snr")
      options.snr = value;
    else if (name == "corrector_steps")
      options.corrector_steps = value;
    else
      throw std::runtime_error("option " + name);
  }
  return options;
}

Final final_of(const json& c, const SamplerInfo& sampler) {
  if (consistency(c)) return sampler.final;
  if (c.contains("set_alpha_to_one")) return c["set_alpha_to_one"] ? Final::zero : sampler.final;
  return c["final"] == "zero" ? Final::zero : Final::first_trained;
}

/// On a schedule of the class's own: diffusers' IPNDMScheduler.
Walk recorded_walk(const at::Tensor& alphas, const at::Tensor& betas) {
  const auto level = [&](int64_t i) {
    const double alpha = alphas[i].item<double>(), beta = betas[i].item<double>();
    return Level{alpha, beta, std::atan2(beta, alpha) / std::numbers::pi * 2};
  };
  Walk walk;
  for (int64_t i = 0; i + 1 < alphas.size(0); ++i) walk.steps.push_back({level(i), level(i + 1)});
  return walk;
}

FlowSchedule flow_schedule(const json& c) {
  const json& flow = c["flow"];
  const std::optional<double> mu = number_of(flow, "mu");
  const double dynamic = mu ? (flow["dynamic"] == "exponential" ? std::exp(*mu) : *mu) : 1;
  return {c["train_steps"], flow.value("shift", dynamic), !mu, number_of(flow, "shift_terminal")};
}

}  // namespace

std::vector<json> golden_cases() {
  std::vector<json> all;
  for (const char* file : {"sigma_samplers", "dpm_samplers", "timestep_samplers", "flow_samplers",
                           "sde_samplers", "k_samplers", "paper_samplers"})
    for (json c : json::parse(goldens(file).metadata().at("cases"))) {
      c["file"] = file;
      if (c["sampler"] == "dpm_adaptive") continue;  // adaptive_golden_test.cpp
      if (known(c) && !deviates(c)) all.push_back(c);
    }
  return all;
}

GoldenCase::GoldenCase(const json& fields)
    : c(fields),
      file(goldens(c["file"])),
      name(c["name"]),
      sampler(
          find_sampler(c["options"].contains("stochastic") ? "euler_a" : c["sampler"].get<std::string>())),
      options(options_of(c, sampler)),
      walk(build()) {}

std::string GoldenCase::reference() const {
  return c["file"] == "sde_samplers" || c["file"] == "paper_samplers" ? "paper" : c["convention"];
}

NoiseSchedule GoldenCase::trained_levels() const {
  return NoiseSchedule({.kind = c["kind"],
                        .beta_start = c["beta_start"],
                        .beta_end = c["beta_end"],
                        .steps = c["train_steps"],
                        .zero_terminal_snr = c["zero_terminal_snr"]});
}

Walk GoldenCase::build() const {
  if (c["schedule"] == "ipndm") return recorded_walk(tensor("alphas"), tensor("betas"));
  const WalkOptions walk_options = {
      .spacing = &find_spacing(consistency(c) ? "leading" : c["schedule"].get<std::string>()),
      .steps = c["steps"],
      .steps_offset = c["steps_offset"],
      .grid = sampler.grid,
      .original_steps = c.value("original_steps", int64_t{50}),
      .rounds_karras = sampler.rounds_karras,
      .previous = sampler.previous,
      .final = final_of(c, sampler),
      .convention = find_convention(c["convention"].get<std::string>()),
      .base =
          *find_spacing(c.value("spacing", c["schedule"] == "leading" ? "leading" : "linspace")).timesteps,
      .rho = number_of(c, "rho"),
      .sigma_min = number_of(c, "sigma_min"),
      .sigma_max = number_of(c, "sigma_max"),
      .sigmas = list_of(c, "sigmas"),
      .timesteps = list_of(c, "timesteps"),
      .flow_from_one = sampler.flow_from_one};
  if (is_flow()) return build_walk(flow_schedule(c), walk_options);
  return build_walk(trained_levels(), walk_options);
}

RecordedNoise GoldenCase::noise() const {
  return RecordedNoise(has("noise") ? tensor("noise").unbind(0) : std::vector<at::Tensor>{});
}

Denoise GoldenCase::denoiser(std::vector<double>& told) const {
  const double total = c["train_steps"];
  const PredictionType type = find_prediction_type(c["prediction"].get<std::string>());
  Denoise denoise = [&told, total, type](const at::Tensor& x, const Level& level) {
    told.push_back(level.timestep);
    const at::Tensor raw = 0.7 * x.sin() + 0.2 * (3 * x).cos() * (level.timestep / total);
    return interpret(type, raw, x, level);
  };
  if (!is_flow()) denoise = unit_variance(std::move(denoise));
  if (c.contains("threshold_ratio"))
    return dynamic_threshold(denoise, c["threshold_ratio"], c["threshold_max"], sampler.limited_eps);
  return c.contains("clip_sample") ? clip_sample(denoise, c["clip_sample"], sampler.limited_eps) : denoise;
}

// PNDM and PLMS have a row per call.
int64_t GoldenCase::row_of(size_t step) const {
  const auto i = static_cast<int64_t>(step);
  if (c["sampler"] == "plms") return c["steps"] == 1 ? 0 : i + 1;
  if (c["sampler"] == "pndm") return i < 3 ? 4 * i + 3 : i + 9;
  return i - c.value("begin", int64_t{0});
}

}  // namespace darkroom::testing
