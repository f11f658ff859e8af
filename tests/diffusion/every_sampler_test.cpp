// Properties that every sampler of the table has, whatever its formula.
#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "darkroom/diffusion/sampler.h"
#include "support/toys.h"

namespace darkroom {

// gtest's name of the parameter.
void PrintTo(const SamplerInfo& sampler, std::ostream* out) { *out << sampler.name; }

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

SamplerOptions defaults_of(const SamplerInfo& sampler) {
  return default_options(sampler, Convention::diffusers);
}

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

// An eps of its own, as CFG++ gives, with the x0 it belongs to.
TEST_P(EverySampler, IsGuidedByEpsIfItsRowSaysSo) {
  const SamplerInfo& sampler = GetParam();
  const Walk walk = walk_for(sampler, 5);
  const auto walked = [&](double change) {
    SeededNoise noise = noise_for(5);
    const at::Tensor start = noise.draw() * walk.init_scale;
    const Denoise other = [&](const at::Tensor& x, const Level& level) {
      Prediction p = denoise(x, level);
      p.eps = p.eps + change;
      p.x0_of_eps = p.x0 - change;
      return p;
    };
    return sample(sampler, other, start, walk, noise, defaults_of(sampler), {});
  };
  EXPECT_EQ(walked(0.1).equal(walked(0)), !sampler.reads_eps);
}

class MetaNoise : public Noise {
 public:
  at::Tensor draw() override { return at::empty({1, 2, 3, 5}, at::TensorOptions(at::kMeta)); }
};

// Meta tensors have no data: whoever reads a number, and on a GPU would wait for it, throws.
TEST_P(EverySampler, ReadsNoTensorsData) {
  const SamplerInfo& sampler = GetParam();
  if (sampler.adaptive) GTEST_SKIP() << "reads one number of each attempted step";
  MetaNoise noise;
  at::Tensor x = noise.draw();
  x = sample(sampler, denoise, x, walk_for(sampler, 8), noise, defaults_of(sampler), {});
  EXPECT_TRUE(x.is_meta());
}

/// Calls of tensor operations while it lives, those that others make not counted.
class CallCounter {
 public:
  CallCounter() {
    depth_ = 0;
    calls_ = 0;
    handle_ =
        at::addThreadLocalCallback(at::RecordFunctionCallback(
                                       [](const at::RecordFunction&) -> std::unique_ptr<at::ObserverContext> {
                                         if (depth_++ == 0) ++calls_;
                                         return nullptr;
                                       },
                                       [](const at::RecordFunction&, at::ObserverContext*) { --depth_; })
                                       .scopes({at::RecordScope::FUNCTION}));
  }
  ~CallCounter() { at::removeCallback(handle_); }
  int calls() const { return calls_; }

 private:
  static thread_local int depth_, calls_;
  at::CallbackHandle handle_;
};
thread_local int CallCounter::depth_ = 0;
thread_local int CallCounter::calls_ = 0;

// What a step costs besides the network: in the middle of a walk, with a denoiser that only hands out
// tensors.
TEST_P(EverySampler, MakesFewTensorCallsAStep) {
  const SamplerInfo& sampler = GetParam();
  if (sampler.adaptive) GTEST_SKIP() << "its steps are many in one";
  const Walk walk = walk_for(sampler, 8);
  const at::Tensor x = at::ones({1, 2, 3, 5});
  int network_calls = 0;
  const Denoise stub = [&](const at::Tensor&, const Level&) {
    ++network_calls;
    return Prediction{x, x, {}};
  };
  class Stub : public Noise {
   public:
    explicit Stub(const at::Tensor& z) : z_(z) {}
    at::Tensor draw() override { return z_; }

   private:
    at::Tensor z_;
  } noise(x);
  const SamplerOptions options = defaults_of(sampler);
  SamplerState state = sample_until(4, sampler, stub, {x}, walk, noise, options, {});
  network_calls = 0;
  const CallCounter counter;
  sample_until(5, sampler, stub, std::move(state), walk, noise, options, {});
  const int allowed = std::max({(sampler.stochastic ? 6 : 4) * network_calls,
                                sampler.memory > 0 ? 2 + 2 * static_cast<int>(sampler.memory + 1) : 0});
  EXPECT_LE(counter.calls(), allowed);
  EXPECT_GT(counter.calls(), 0);
  std::printf("%-16s %d tensor calls, %d of the network a step\n", std::string(sampler.name).c_str(),
              counter.calls(), network_calls);
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
