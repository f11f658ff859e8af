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

std::span<const SamplerInfo> samplers() {
  static const std::array table = {
      SamplerInfo{.name = "ddim",
                  .aliases = {"DDIMScheduler"},
                  .summary = "deterministic by default (--eta 0); few steps suffice",
                  .source = "Song et al. 2010.02502; diffusers DDIMScheduler",
                  .previous = Previous::constant,
                  .final_alpha_one = false,
                  .uses_eta = true,
                  .uses_variance = false,
                  .uses_previous = true,
                  .function = ddim},
      SamplerInfo{.name = "ddpm",
                  .aliases = {"DDPMScheduler"},
                  .summary = "the original ancestral walk; noise at every step, many steps",
                  .source = "Ho et al. 2006.11239; diffusers DDPMScheduler",
                  .previous = Previous::next,
                  .final_alpha_one = true,
                  .uses_eta = false,
                  .uses_variance = true,
                  .uses_previous = false,
                  .function = ddpm},
  };
  return table;
}

const SamplerInfo& find_sampler(std::string_view name) {
  return find_row<UsageError>("sampler", name, samplers());
}

}  // namespace darkroom
