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

}  // namespace

std::vector<std::string> variance_names() { return names_of(kVariances); }

Variance find_variance(std::string_view name) {
  return find_row<UsageError>("variance", name, kVariances).variance;
}

const Prediction& StepContext::evaluate(const at::Tensor& x) {
  const Level& level = step().at;
  history.push_front({level, x, denoise(x, level)});
  return history.front().prediction;
}

at::Tensor sample(const SamplerInfo& sampler, const Denoise& denoise, at::Tensor x, const Walk& walk,
                  Noise& noise, const SamplerOptions& options, const StepObserver& observer) {
  const size_t count = walk.steps.size();
  History history;
  for (size_t i = 0; i < count; ++i) {
    StepContext context{denoise, walk, i, noise, options, history};
    x = sampler.step(x, context);
    while (history.size() > sampler.memory) history.pop_back();
    if (observer) observer(static_cast<int64_t>(i) + 1, static_cast<int64_t>(count), x);
  }
  return x;
}

}  // namespace darkroom
