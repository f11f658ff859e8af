#include <algorithm>
#include <array>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {

std::span<const SamplerInfo> samplers() {
  static const std::array table = {ddim_row(),
                                   ddpm_row(),
                                   pndm_row(),
                                   plms_row(),
                                   ipndm_row(),
                                   lcm_row(),
                                   tcd_row(),
                                   ode_row(),
                                   pc_row(),
                                   euler_row(),
                                   euler_ancestral_row(),
                                   heun_row(),
                                   dpm2_row(),
                                   dpm2_ancestral_row(),
                                   lms_row(),
                                   dpmpp_2m_row(),
                                   dpmpp_3m_row(),
                                   dpmpp_2m_sde_row(),
                                   dpmpp_3m_sde_row(),
                                   dpmpp_2s_row(),
                                   dpm_solver_row(),
                                   deis_row(),
                                   unipc_row(),
                                   dpmpp_2s_ancestral_row(),
                                   dpmpp_sde_row(),
                                   dpm_adaptive_row(),
                                   er_sde_row(),
                                   res_multistep_row()};
  return table;
}

const SamplerInfo& find_sampler(std::string_view name) {
  return find_row<UsageError>("sampler", name, samplers());
}

bool SamplerInfo::reads(std::string_view option) const {
  return std::ranges::find(options, option) != options.end();
}

}  // namespace darkroom
