// Every sampler against what its reference did, step by step: tests/goldens/record_*_samplers.py.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "diffusion/golden_case.h"

namespace darkroom {
namespace {

using nlohmann::json;
using testing::golden_cases;
using testing::GoldenCase;
using testing::RecordedNoise;
using testing::worst_difference;

/// Of the largest difference, over max(1, largest value). Upstream's float32 subtracts numbers of the size of
/// the x it leaves, up to 157 on the linear schedule and 4096 at zero terminal SNR: two units in their last
/// place. Steps as long as those of walks under seven multiply its rounding.
double tolerance_of(size_t steps, const at::Tensor& x, const at::Tensor& expected) {
  const double before = x.abs().max().item<double>(), after = expected.abs().max().item<double>();
  return (steps < 7 ? 1e-5 : 5e-6) + std::exp2(-22) * before / std::max(1.0, after);
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

/// The most by which an ancestral step's middle can be wrong upstream, relatively: sigma_down = sqrt(to^2 -
/// sigma_up^2) is the small difference of two float32 numbers, of which sigma_up^2 has been rounded six
/// times, each time by up to 2^-24 to^2. down is to^2 / at, and the middle has a quarter of down^2's relative
/// error.
double rounding_of_middle(const SamplerInfo& sampler, const Step& step) {
  if (sampler.name != "dpm2_a" && sampler.name != "dpm++2s_a") return 0;
  const double fall = step.to.sigma > 0 ? noise_ratio(step.at) / noise_ratio(step.to) : 0;
  return 6 * std::exp2(-26) * fall * fall;
}

void expect_sigmas(const GoldenCase& run) {
  const at::Tensor sigmas = run.tensor("sigmas").to(at::kDouble);
  ASSERT_EQ(static_cast<size_t>(sigmas.size(0)), run.walk.steps.size() + 1);
  for (size_t i = 0; i <= run.walk.steps.size(); ++i) {
    const Level& level = i < run.walk.steps.size() ? run.walk.steps[i].at : run.walk.steps.back().to;
    const double expected = sigmas[static_cast<int64_t>(i)].item<double>();
    EXPECT_NEAR(run.is_flow() ? level.sigma : noise_ratio(level), expected, 1e-6 * expected) << i;
  }
}

void expect_told(const GoldenCase& run, const std::vector<double>& told) {
  const at::Tensor timesteps = run.tensor("timesteps");
  ASSERT_EQ(static_cast<size_t>(timesteps.size(0)), told.size());
  double tolerance = 1e-3;
  for (const Step& step : run.walk.steps) {
    const double middle = noise_ratio(step.to), error = middle * rounding_of_middle(run.sampler, step);
    if (error > 0)
      tolerance = std::max(tolerance, 1e-3 + run.trained_levels().timestep_of(middle + error) -
                                          run.trained_levels().timestep_of(middle - error));
  }
  for (size_t i = 0; i < told.size(); ++i)
    EXPECT_NEAR(told[i], timesteps[static_cast<int64_t>(i)].item<double>(), tolerance) << "call " << i;
}

/// Each step alone, from the x and with the noise the reference had.
double worst_step(const GoldenCase& run, std::vector<double>& told) {
  const Denoise denoise = run.denoiser(told);
  RecordedNoise drawn = run.noise();
  History history;
  double worst = 0;
  at::Tensor x = run.start;
  for (size_t i = run.c.value("begin", size_t{0}); i < run.walk.steps.size(); ++i) {
    StepContext context{denoise, run.walk, i, drawn, run.options, history};
    const at::Tensor expected = run.samples[run.row_of(i)];
    const double difference = worst_difference(run.sampler.step(x, context), expected);
    // At a level without signal diffusers' IPNDM takes x0 for 0, where v says what it is.
    if (run.c["sampler"] == "ipndm" && run.walk.steps[i].at.alpha == 0) {
      x = expected;
      continue;
    }
    const auto& [at, to] = run.walk.steps[i];
    const at::Tensor upstream = has_eps_form(run.sampler) ? x * (to.alpha / at.alpha) : x;
    const double tolerance = tolerance_of(run.walk.steps.size(), upstream, expected) +
                             promised(run.sampler, run.options, x) + cancellation(run.c) +
                             lost_in_slope(run.c, run.walk.steps[i], x, expected) +
                             rounding_of_middle(run.sampler, run.walk.steps[i]) * noise_ratio(to);
    EXPECT_LE(difference, tolerance) << "step " << i;
    worst = std::max(worst, difference);
    while (history.size() > run.sampler.memory) history.pop_back();
    x = expected;
  }
  // diffusers' Euler a and exponential integrators also draw for the step to 0, which has no noise.
  const size_t recorded = run.has("noise") ? static_cast<size_t>(run.tensor("noise").size(0)) : 0;
  const bool unused = recorded == drawn.used() + 1 && run.walk.steps.back().to.sigma == 0;
  EXPECT_TRUE(unused || drawn.used() == recorded) << drawn.used() << " draws of " << recorded;
  return worst;
}

class SamplerGolden : public ::testing::TestWithParam<json> {};

TEST_P(SamplerGolden, Agrees) {
  const GoldenCase run(GetParam());
  if (run.has("sigmas")) expect_sigmas(run);
  EXPECT_NEAR(run.walk.init_scale, run.tensor("init").item<double>(), 1e-6 * run.walk.init_scale);

  std::vector<double> told;
  const double worst = worst_step(run, told);
  if (run.has("timesteps")) expect_told(run, told);
  std::printf("%-9s %-60s worst step %.1e\n", run.reference().c_str(), run.name.c_str(), worst);
}

INSTANTIATE_TEST_SUITE_P(Reference, SamplerGolden, ::testing::ValuesIn(golden_cases()), [](const auto& test) {
  std::string label = test.param["name"];
  if (test.param["convention"] == "k") label = "k_" + label;
  for (char& letter : label)
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  return label;
});

}  // namespace
}  // namespace darkroom
