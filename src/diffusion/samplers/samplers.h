#pragma once

#include "darkroom/diffusion/sampler.h"

namespace darkroom {

// One function for each row of samplers(); sources stand there.
at::Tensor ddim(const at::Tensor& x, StepContext& context);
at::Tensor ddpm(const at::Tensor& x, StepContext& context);
at::Tensor euler(const at::Tensor& x, StepContext& context);
at::Tensor euler_ancestral(const at::Tensor& x, StepContext& context);
at::Tensor heun(const at::Tensor& x, StepContext& context);
at::Tensor dpm2(const at::Tensor& x, StepContext& context);
at::Tensor dpm2_ancestral(const at::Tensor& x, StepContext& context);
at::Tensor lms(const at::Tensor& x, StepContext& context);
at::Tensor dpmpp_2s_ancestral(const at::Tensor& x, StepContext& context);
at::Tensor dpmpp_sde(const at::Tensor& x, StepContext& context);
at::Tensor dpm_adaptive(const at::Tensor& x, StepContext& context);
at::Tensor er_sde(const at::Tensor& x, StepContext& context);
at::Tensor res_multistep(const at::Tensor& x, StepContext& context);
at::Tensor dpmpp_2m(const at::Tensor& x, StepContext& context);
at::Tensor pndm(const at::Tensor& x, StepContext& context);
at::Tensor plms(const at::Tensor& x, StepContext& context);
at::Tensor ipndm(const at::Tensor& x, StepContext& context);
at::Tensor dpmpp_3m(const at::Tensor& x, StepContext& context);
at::Tensor dpmpp_2m_sde(const at::Tensor& x, StepContext& context);
at::Tensor dpmpp_3m_sde(const at::Tensor& x, StepContext& context);
at::Tensor dpmpp_2s(const at::Tensor& x, StepContext& context);
at::Tensor dpm_solver(const at::Tensor& x, StepContext& context);
at::Tensor deis(const at::Tensor& x, StepContext& context);
at::Tensor unipc(const at::Tensor& x, StepContext& context);
at::Tensor lcm(const at::Tensor& x, StepContext& context);
at::Tensor tcd(const at::Tensor& x, StepContext& context);
at::Tensor ode(const at::Tensor& x, StepContext& context);
at::Tensor pc(const at::Tensor& x, StepContext& context);

}  // namespace darkroom
