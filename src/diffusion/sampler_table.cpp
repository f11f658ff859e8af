#include <algorithm>
#include <array>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {

std::span<const SamplerInfo> samplers() {
  static const std::array table = {
      SamplerInfo{.name = "ddim",
                  .aliases = {"DDIMScheduler"},
                  .summary = "deterministic by default (--eta 0); few steps suffice",
                  .source = "Song et al. 2010.02502; diffusers DDIMScheduler",
                  .previous = Previous::constant,
                  .final = Final::first_trained,
                  .model_decides_final = true,
                  .limited_eps = LimitedEps::kept,
                  .options = {"eta", "prev"},
                  .step = ddim},
      SamplerInfo{.name = "ddpm",
                  .aliases = {"DDPMScheduler"},
                  .summary = "the original ancestral walk; noise at every step, many steps",
                  .source = "Ho et al. 2006.11239; diffusers DDPMScheduler",
                  .stochastic = true,
                  .options = {"variance"},
                  .step = ddpm},
      SamplerInfo{.name = "euler",
                  .aliases = {"EulerDiscreteScheduler", "k_euler"},
                  .summary = "the simplest; DDIM in another variable",
                  .source = "Karras et al. 2206.00364, alg. 2 without correction; diffusers "
                            "EulerDiscreteScheduler; k-diffusion sample_euler",
                  .grid = Grid::sigma,
                  .options = {"s-churn", "s-tmin", "s-tmax", "s-noise"},
                  .step = euler},
      SamplerInfo{.name = "euler_a",
                  .aliases = {"EulerAncestralDiscreteScheduler", "euler_ancestral", "Euler a", "k_euler_a"},
                  .summary = "Euler that adds noise again at every step; varied, never converges",
                  .source = "k-diffusion sample_euler_ancestral; diffusers EulerAncestralDiscreteScheduler",
                  .stochastic = true,
                  .grid = Grid::sigma,
                  .eta = 1,
                  .options = {"eta", "s-noise"},
                  .step = euler_ancestral},
      SamplerInfo{.name = "heun",
                  .aliases = {"HeunDiscreteScheduler", "k_heun"},
                  .summary = "Euler with a second look at each step's end; two calls a step",
                  .source = "Karras et al. 2206.00364, alg. 1; diffusers HeunDiscreteScheduler; k-diffusion "
                            "sample_heun",
                  .order = 2,
                  .grid = Grid::sigma,
                  .step = heun},
      SamplerInfo{.name = "dpm++2m",
                  .aliases = {"DPMSolverMultistepScheduler", "dpmpp_2m", "DPM++ 2M", "k_dpmpp_2m"},
                  .summary = "looks back one step for free; good from 15 steps on",
                  .source =
                      "Lu et al. 2211.01095, alg. 2; diffusers DPMSolverMultistepScheduler; k-diffusion "
                      "sample_dpmpp_2m",
                  .order = 2,
                  .grid = Grid::multistep,
                  .memory = 1,
                  .step = dpmpp_2m},
  };
  return table;
}

const SamplerInfo& find_sampler(std::string_view name) {
  return find_row<UsageError>("sampler", name, samplers());
}

bool SamplerInfo::reads(std::string_view option) const {
  return std::ranges::find(options, option) != options.end();
}

}  // namespace darkroom
