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
      SamplerInfo{.name = "pndm",
                  .aliases = {},
                  .summary = "three Runge-Kutta steps of four calls, then looks back three steps for free",
                  .source = "Liu et al. 2202.09778, alg. 2; diffusers PNDMScheduler, skip_prk_steps=False",
                  .order = 2,
                  .previous = Previous::constant,
                  .final = Final::first_trained,
                  .model_decides_final = true,
                  .memory = 3,
                  .options = {"prev"},
                  .step = pndm},
      SamplerInfo{
          .name = "plms",
          .aliases = {"PNDMScheduler"},
          .summary = "as pndm, with one call more than it has steps; the first Stable Diffusion's own",
          .source = "Liu et al. 2202.09778, eq. 12; Rombach et al.'s PLMS; diffusers PNDMScheduler, "
                    "skip_prk_steps=True",
          .order = 2,
          .previous = Previous::constant,
          .final = Final::first_trained,
          .model_decides_final = true,
          .memory = 3,
          .options = {"prev"},
          .step = plms},
      SamplerInfo{.name = "ipndm",
                  .aliases = {"IPNDMScheduler"},
                  .summary = "as plms on noise levels, without the extra call",
                  .source = "Zhang & Chen 2204.13902; diffusers IPNDMScheduler",
                  .order = 2,
                  .grid = Grid::sigma,
                  .memory = 3,
                  .step = ipndm},
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
