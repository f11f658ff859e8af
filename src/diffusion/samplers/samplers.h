#pragma once

#include "darkroom/diffusion/sampler.h"

namespace darkroom {

// The rows of samplers(); each stands beside its function.
SamplerInfo ddim_row();
SamplerInfo ddpm_row();
SamplerInfo pndm_row();
SamplerInfo plms_row();
SamplerInfo ipndm_row();
SamplerInfo lcm_row();
SamplerInfo tcd_row();
SamplerInfo ode_row();
SamplerInfo pc_row();
SamplerInfo euler_row();
SamplerInfo euler_ancestral_row();
SamplerInfo heun_row();
SamplerInfo dpm2_row();
SamplerInfo dpm2_ancestral_row();
SamplerInfo lms_row();
SamplerInfo dpmpp_2m_row();
SamplerInfo dpmpp_3m_row();
SamplerInfo dpmpp_2m_sde_row();
SamplerInfo dpmpp_3m_sde_row();
SamplerInfo dpmpp_2s_row();
SamplerInfo dpm_solver_row();
SamplerInfo deis_row();
SamplerInfo unipc_row();
SamplerInfo dpmpp_2s_ancestral_row();
SamplerInfo dpmpp_sde_row();
SamplerInfo dpm_adaptive_row();
SamplerInfo er_sde_row();
SamplerInfo res_multistep_row();

}  // namespace darkroom
