#include "darkroom/diffusion/sampler.h"

#include <array>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

struct VarianceName {
  std::string_view name;
  Variance variance;
};
constexpr std::array kVariances = {
    VarianceName{"fixed_small", Variance::fixed_small},
    VarianceName{"fixed_large", Variance::fixed_large},
    VarianceName{"learned_range", Variance::learned_range},
};

struct SolverTypeName {
  std::string_view name;
  SolverType type;
};
constexpr std::array kSolverTypes = {
    SolverTypeName{"midpoint", SolverType::midpoint},
    SolverTypeName{"heun", SolverType::heun},
    SolverTypeName{"bh1", SolverType::bh1},
    SolverTypeName{"bh2", SolverType::bh2},
};

}  // namespace

std::vector<std::string> variance_names() { return names_of(kVariances); }

Variance find_variance(std::string_view name) {
  return find_row<UsageError>("variance", name, kVariances).variance;
}

std::vector<std::string> solver_type_names() { return names_of(kSolverTypes); }

SolverType find_solver_type(std::string_view name) {
  return find_row<UsageError>("solver type", name, kSolverTypes).type;
}

SamplerOptions default_options(const SamplerInfo& sampler, Convention convention) {
  SamplerOptions options{.eta = sampler.eta};
  options.rtol = sampler.rtol;
  options.atol = sampler.atol;
  options.lower_order_final = convention == Convention::diffusers;
  if (convention == Convention::k) options.solver_type = sampler.k_solver_type;
  return options;
}

const Prediction& StepContext::evaluate(const at::Tensor& x) {
  const Level& level = step().at;
  history.push_front({level, x, denoise(x, level)});
  return history.front().prediction;
}

SamplerState sample_until(size_t end, const SamplerInfo& sampler, const Denoise& denoise, SamplerState state,
                          const Walk& walk, Noise& noise, const SamplerOptions& options,
                          const StepObserver& observer) {
  const auto count = static_cast<int64_t>(walk.steps.size());
  while (state.step < end) {
    StepContext context{denoise, walk, state.step, noise, options, state.history};
    state.x = sampler.step(state.x, context);
    ++state.step;
    while (state.history.size() > sampler.memory) state.history.pop_back();
    if (observer) observer(static_cast<int64_t>(state.step), count, state.x);
  }
  return state;
}

at::Tensor sample(const SamplerInfo& sampler, const Denoise& denoise, at::Tensor x, const Walk& walk,
                  Noise& noise, const SamplerOptions& options, const StepObserver& observer) {
  return sample_until(walk.steps.size(), sampler, denoise, {std::move(x)}, walk, noise, options, observer).x;
}

}  // namespace darkroom
