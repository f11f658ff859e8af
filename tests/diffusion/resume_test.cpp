// Properties that every sampler of the table has, whatever its formula.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "darkroom/diffusion/sampler.h"
#include "support/toys.h"

namespace darkroom {
namespace {

const NoiseSchedule& stable_diffusion() {
  static const NoiseSchedule schedule({.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012});
  return schedule;
}

Walk walk_for(const SamplerInfo& sampler, int64_t steps) {
  const Walk walk = build_walk(stable_diffusion(), {.spacing = &find_spacing("leading"),
                                                    .steps = steps,
                                                    .steps_offset = 1,
                                                    .grid = sampler.grid,
                                                    .previous = sampler.previous,
                                                    .final = sampler.final});
  return sampler.at_once ? at_once(walk) : walk;
}

SamplerOptions defaults_of(const SamplerInfo& sampler) { return {.eta = sampler.eta}; }

SeededNoise noise_for(uint32_t seed) { return SeededNoise({seed}, {2, 3, 5}, at::kFloat, at::kFloat); }

// Not linear, so that a step taken twice or in another order shows.
Prediction denoise(const at::Tensor& x, const Level& level) {
  const at::Tensor eps = 0.7 * x.sin() + 0.2 * (level.timestep / 1000) * (3 * x).cos();
  return {(x - eps * level.sigma) / level.alpha, eps, {}};
}

class EverySampler : public ::testing::TestWithParam<SamplerInfo> {};

TEST_P(EverySampler, GoesOnToTheSameBitWhereverItIsStopped) {
  const SamplerInfo& sampler = GetParam();
  const Walk walk = walk_for(sampler, 8);
  const size_t steps = walk.steps.size();
  SeededNoise noise = noise_for(5);
  const at::Tensor start = noise.draw() * walk.init_scale;
  const std::vector<at::Tensor> streams = noise.states();
  const at::Tensor whole = sample(sampler, denoise, start, walk, noise, defaults_of(sampler), {});
  for (size_t stop = 1; stop < steps; ++stop) {
    noise.restore(streams);
    SamplerState state = sample_until(stop, sampler, denoise, {start}, walk, noise, defaults_of(sampler), {});
    EXPECT_EQ(state.step, stop);
    SeededNoise other = noise_for(77);  // a new process: nothing of the first run but its state
    other.restore(noise.states());
    state = sample_until(steps, sampler, denoise, std::move(state), walk, other, defaults_of(sampler), {});
    EXPECT_TRUE(state.x.equal(whole)) << "stopped after step " << stop;
  }
}

TEST_P(EverySampler, LeavesItsStartAsItWas) {
  const SamplerInfo& sampler = GetParam();
  const Walk walk = walk_for(sampler, 5);
  SeededNoise noise = noise_for(5);
  const at::Tensor start = noise.draw() * walk.init_scale, before = start.clone();
  sample(sampler, denoise, start, walk, noise, defaults_of(sampler), {});
  EXPECT_TRUE(start.equal(before));
}

INSTANTIATE_TEST_SUITE_P(Table, EverySampler, ::testing::ValuesIn(samplers().begin(), samplers().end()),
                         [](const auto& test) {
                           std::string label(test.param.name);
                           for (char& letter : label)
                             if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
                           return label;
                         });

}  // namespace
}  // namespace darkroom
