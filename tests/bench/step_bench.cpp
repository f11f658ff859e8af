// What a step of each sampler costs outside the network, at the size of a Stable Diffusion pair of latents:
// scripts/bench_samplers.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <string>

#include "darkroom/diffusion/sampler.h"

namespace darkroom {
namespace {

class Ready : public Noise {
 public:
  explicit Ready(at::Tensor z) : z_(std::move(z)) {}
  at::Tensor draw() override { return z_; }

 private:
  at::Tensor z_;
};

// A step in the middle of a walk, with a network and a noise that only hand out a tensor.
void step(benchmark::State& run, const SamplerInfo& sampler) {
  const NoiseSchedule schedule({.kind = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012});
  const Walk walk = build_walk(
      schedule,
      {.spacing = &find_spacing("leading"), .steps = 20, .grid = sampler.grid, .final = sampler.final});
  const at::Tensor x = at::randn({2, 4, 64, 64});
  const Denoise denoise = [&](const at::Tensor&, const Level&) { return Prediction{x, x, {}}; };
  Ready noise(x);
  const SamplerOptions options = default_options(sampler, Convention::diffusers);
  const SamplerState before = sample_until(10, sampler, denoise, {x}, walk, noise, options, {});
  for (auto _ : run)
    benchmark::DoNotOptimize(sample_until(11, sampler, denoise, before, walk, noise, options, {}));
}

}  // namespace
}  // namespace darkroom

int main(int argc, char** argv) {
  at::set_num_threads(1);
  benchmark::Initialize(&argc, argv);
  for (const darkroom::SamplerInfo& sampler : darkroom::samplers())
    if (!sampler.adaptive)
      benchmark::RegisterBenchmark(std::string(sampler.name).c_str(), [&sampler](benchmark::State& run) {
        darkroom::step(run, sampler);
      })->Unit(benchmark::kMicrosecond);
  benchmark::RunSpecifiedBenchmarks();
}
