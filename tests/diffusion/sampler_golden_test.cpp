// Every sampler against what its reference did, step by step: tests/goldens/record_*_samplers.py.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numbers>

#include "darkroom/diffusion/flow.h"
#include "darkroom/diffusion/sampler.h"
#include "support/golden.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::RecordedNoise;
using testing::tensor_of;
using testing::worst_difference;

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

std::vector<json> cases() {
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

/// Of the largest difference, over max(1, largest value). Upstream's float32 subtracts numbers of the size of
/// the x it leaves, up to 157 on the linear schedule and 4096 at zero terminal SNR: two units in their last
/// place. Steps as long as those of walks under seven multiply its rounding.
double tolerance_of(size_t steps, const at::Tensor& x, const at::Tensor& expected) {
  const double before = x.abs().max().item<double>(), after = expected.abs().max().item<double>();
  return (steps < 7 ? 1e-5 : 5e-6) + std::exp2(-22) * before / std::max(1.0, after);
}

/// The row of `samples` at which a grid step ends. PNDM and PLMS have a row per call.
int64_t row_of(const json& c, size_t step) {
  const auto i = static_cast<int64_t>(step);
  if (c["sampler"] == "plms") return c["steps"] == 1 ? 0 : i + 1;
  if (c["sampler"] == "pndm") return i < 3 ? 4 * i + 3 : i + 9;
  return i - c.value("begin", int64_t{0});
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

/// Upstream's eps form subtracts from x in the scale of the step's end: x * to.alpha / at.alpha.
bool has_eps_form(const SamplerInfo& sampler) {
  return sampler.name == "dpm_solver" || sampler.name == "deis";
}

/// What an adaptive sampler promises of an attempted step: of a mean over elements, so that one may err more.
double promised(const SamplerInfo& sampler, const SamplerOptions& options, const at::Tensor& x) {
  const double tolerance = options.atol + options.rtol * x.abs().max().item<double>();
  return sampler.adaptive ? tolerance * std::sqrt(static_cast<double>(x.numel())) : 0;
}

FlowSchedule flow_schedule(const json& c) {
  const json& flow = c["flow"];
  const std::optional<double> mu = number_of(flow, "mu");
  const double dynamic = mu ? (flow["dynamic"] == "exponential" ? std::exp(*mu) : *mu) : 1;
  return {c["train_steps"], flow.value("shift", dynamic), !mu, number_of(flow, "shift_terminal")};
}

/// What upstream's float32 loses besides: DEIS's coefficients of order 3 cancel where steps are short in
/// log sigma, and where alpha = 1 - sigma is 0.001. Its class run in float64 agrees with its formula to 1e-12
/// (tests/python/test_sampler_goldens.py).
double cancellation(const json& c) {
  if (c["sampler"] != "deis" || c["options"].value("order", 2) != 3) return 0;
  if (c["schedule"] == "beta") return 4e-4;
  return c["kind"] == "flow" ? 1e-5 : 0;
}

/// DPM2's slope in the middle has the rounding of an x as large as the start's, and the whole step multiplies
/// it. The formula in float64 differs from upstream's step as much (2.6e-5 where sigma falls from 157 to
/// 0.01).
double lost_in_slope(const json& c, const Step& step, const at::Tensor& x, const at::Tensor& expected) {
  if (c["sampler"] != "dpm2" || step.to.sigma == 0) return 0;
  const double before = x.abs().max().item<double>(), after = expected.abs().max().item<double>();
  return std::exp2(-24) * before * std::sqrt(noise_ratio(step.at) / noise_ratio(step.to)) /
         std::max(1.0, after);
}

struct GoldenCase {
  const json& c;
  const Safetensors& file = goldens(c["file"]);
  const std::string name = c["name"];
  const SamplerInfo& sampler =
      find_sampler(c["options"].contains("stochastic") ? "euler_a" : c["sampler"].get<std::string>());
  const SamplerOptions options = options_of(c, sampler);
  const Walk walk = build();
  const at::Tensor start = tensor(name + "/x"), samples = tensor(name + "/samples");
  std::vector<double> told = {};  ///< the timesteps of all calls

  NoiseSchedule trained_levels() const {
    return NoiseSchedule({.kind = c["kind"],
                          .beta_start = c["beta_start"],
                          .beta_end = c["beta_end"],
                          .steps = c["train_steps"],
                          .zero_terminal_snr = c["zero_terminal_snr"]});
  }

  Walk build() const {
    if (c["schedule"] == "ipndm") return recorded_walk(tensor(name + "/alphas"), tensor(name + "/betas"));
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

  at::Tensor tensor(const std::string& key) const { return tensor_of(file.at(key)); }
  bool is_flow() const { return c["kind"] == "flow"; }
  bool has(const std::string& key) const { return file.tensors().contains(key); }

  RecordedNoise noise() const {
    return RecordedNoise(has(name + "/noise") ? tensor(name + "/noise").unbind(0)
                                              : std::vector<at::Tensor>{});
  }

  /// The relative error of an ancestral step's middle upstream, where sigma_down = sqrt(to^2 - sigma_up^2) is
  /// the small difference of two float32 numbers: 2^-24 to^2 of down^2, and down is to^2 / at.
  double rounding_of_middle(const Step& step) const {
    if (sampler.name != "dpm2_a" && sampler.name != "dpm++2s_a") return 0;
    const double fall = step.to.sigma > 0 ? noise_ratio(step.at) / noise_ratio(step.to) : 0;
    return 6 * std::exp2(-26) * fall * fall;
  }

  Denoise denoiser() {
    const double total = c["train_steps"];
    const PredictionType type = find_prediction_type(c["prediction"].get<std::string>());
    Denoise denoise = [this, total, type](const at::Tensor& x, const Level& level) {
      told.push_back(level.timestep);
      const at::Tensor raw = 0.7 * x.sin() + 0.2 * (3 * x).cos() * (level.timestep / total);
      return interpret(type, raw, x, level);
    };
    if (!is_flow()) denoise = unit_variance(std::move(denoise));
    if (c.contains("threshold_ratio"))
      return dynamic_threshold(denoise, c["threshold_ratio"], c["threshold_max"], sampler.limited_eps);
    return c.contains("clip_sample") ? clip_sample(denoise, c["clip_sample"], sampler.limited_eps) : denoise;
  }

  void expect_sigmas() const {
    const at::Tensor sigmas = tensor(name + "/sigmas").to(at::kDouble);
    ASSERT_EQ(static_cast<size_t>(sigmas.size(0)), walk.steps.size() + 1);
    for (size_t i = 0; i <= walk.steps.size(); ++i) {
      const Level& level = i < walk.steps.size() ? walk.steps[i].at : walk.steps.back().to;
      const double expected = sigmas[static_cast<int64_t>(i)].item<double>();
      EXPECT_NEAR(is_flow() ? level.sigma : noise_ratio(level), expected, 1e-6 * expected) << i;
    }
  }

  void expect_told() const {
    const at::Tensor timesteps = tensor(name + "/timesteps");
    ASSERT_EQ(static_cast<size_t>(timesteps.size(0)), told.size());
    double tolerance = 1e-3;
    for (const Step& step : walk.steps) {
      const double middle = noise_ratio(step.to), error = middle * rounding_of_middle(step);
      if (error > 0)
        tolerance = std::max(tolerance, 1e-3 + trained_levels().timestep_of(middle + error) -
                                            trained_levels().timestep_of(middle - error));
    }
    for (size_t i = 0; i < told.size(); ++i)
      EXPECT_NEAR(told[i], timesteps[static_cast<int64_t>(i)].item<double>(), tolerance) << "call " << i;
  }

  /// Each step alone, from the x and with the noise the reference had.
  double worst_step() {
    const Denoise denoise = denoiser();
    RecordedNoise drawn = noise();
    History history;
    double worst = 0;
    at::Tensor x = start;
    for (size_t i = c.value("begin", size_t{0}); i < walk.steps.size(); ++i) {
      StepContext context{denoise, walk, i, drawn, options, history};
      const at::Tensor expected = samples[row_of(c, i)];
      const double difference = worst_difference(sampler.step(x, context), expected);
      // At a level without signal diffusers' IPNDM takes x0 for 0, where v says what it is.
      if (c["sampler"] == "ipndm" && walk.steps[i].at.alpha == 0) {
        x = expected;
        continue;
      }
      const auto& [at, to] = walk.steps[i];
      const at::Tensor upstream = has_eps_form(sampler) ? x * (to.alpha / at.alpha) : x;
      const double tolerance = tolerance_of(walk.steps.size(), upstream, expected) +
                               promised(sampler, options, x) + cancellation(c) +
                               lost_in_slope(c, walk.steps[i], x, expected) +
                               rounding_of_middle(walk.steps[i]) * noise_ratio(to);
      EXPECT_LE(difference, tolerance) << "step " << i;
      worst = std::max(worst, difference);
      while (history.size() > sampler.memory) history.pop_back();
      x = expected;
    }
    // diffusers' Euler a and exponential integrators also draw for the step to 0, which has no noise.
    const size_t recorded = has(name + "/noise") ? static_cast<size_t>(tensor(name + "/noise").size(0)) : 0;
    const bool unused = recorded == drawn.used() + 1 && walk.steps.back().to.sigma == 0;
    EXPECT_TRUE(unused || drawn.used() == recorded) << drawn.used() << " draws of " << recorded;
    return worst;
  }
};

class SamplerGolden : public ::testing::TestWithParam<json> {};

TEST_P(SamplerGolden, Agrees) {
  GoldenCase run{GetParam()};
  if (run.has(run.name + "/sigmas")) run.expect_sigmas();
  EXPECT_NEAR(run.walk.init_scale, run.tensor(run.name + "/init").item<double>(), 1e-6 * run.walk.init_scale);

  const double worst = run.worst_step();
  if (run.has(run.name + "/timesteps")) run.expect_told();
  std::printf("%-9s %-60s worst step %.1e\n", run.c["convention"].get<std::string>().c_str(),
              run.name.c_str(), worst);
}

INSTANTIATE_TEST_SUITE_P(Reference, SamplerGolden, ::testing::ValuesIn(cases()), [](const auto& test) {
  std::string label = test.param["name"];
  if (test.param["convention"] == "k") label = "k_" + label;
  for (char& letter : label)
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  return label;
});

}  // namespace
}  // namespace darkroom
