#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "diffusion/samplers/exponential.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// The moments of DPM-Solver's multistep forms. The midpoint form takes the slope's share as half of the
// constant's. The third order takes half of the curvature's, as the authors' program and all after it do.
std::vector<double> solver_weights(const StepContext& context, size_t order, double step, double h) {
  Moments m = moments(h);
  if (order == 2 && context.options.solver_type != SolverType::heun) m[1] = m[0] / 2;
  m[2] /= 2;
  return weights_at(nodes(context.history, 0, order, step), m);
}

// Later steps compare with the x0 that eps belongs to, as the authors of CFG++ do.
void settle(Prediction& prediction) {
  if (prediction.x0_of_eps.defined()) prediction.x0 = std::exchange(prediction.x0_of_eps, {});
}

// Lu et al. 2211.01095, sections 3 and 4.2 and appendix; eta adds noise and lengthens the step in what it
// forgets (k-diffusion sample_dpmpp_2m_sde). diffusers gives the third order with noise another sign at the
// curvature, with which the variance converges with order 1; this is k-diffusion's, with order 2.
at::Tensor data_form(const at::Tensor& x, StepContext& context, size_t own_order, double eta) {
  const auto& [at, to] = context.step();
  context.evaluate(x);
  const double h = log_snr(to) - log_snr(at);
  const size_t order = multistep_order(context, solver_order(context.options, own_order));
  const std::vector<double> weights = solver_weights(context, order, h, (1 + eta) * h);
  const double kept = eta > 0 ? std::exp(-eta * h) : 1;
  at::Tensor next = integrate_x0(context.history, weights, {to.alpha, to.sigma * kept, to.timestep});
  settle(context.history.front().prediction);
  if (eta == 0 || to.sigma == 0) return next;
  const double deviation = to.sigma * std::sqrt(-std::expm1(-2 * eta * h));
  return next.add_(context.noise.draw_over(noise_ratio(at), noise_ratio(to)),
                   deviation * context.options.s_noise);
}

at::Tensor dpmpp_2m(const at::Tensor& x, StepContext& context) { return data_form(x, context, 2, 0); }

at::Tensor dpmpp_3m(const at::Tensor& x, StepContext& context) { return data_form(x, context, 3, 0); }

at::Tensor dpmpp_2m_sde(const at::Tensor& x, StepContext& context) {
  return data_form(x, context, 2, context.options.eta);
}

at::Tensor dpmpp_3m_sde(const at::Tensor& x, StepContext& context) {
  return data_form(x, context, 3, context.options.eta);
}

// Lu et al. 2206.00927: the same in eps, where the step's length changes its sign.
at::Tensor dpm_solver(const at::Tensor& x, StepContext& context) {
  const auto& [at, to] = context.step();
  context.evaluate(x);
  const double h = log_snr(to) - log_snr(at);
  const size_t order = multistep_order(context, solver_order(context.options, 2));
  return integrate_eps(context.history, solver_weights(context, order, h, -h), to);
}

}  // namespace

SamplerInfo dpmpp_2m_row() {
  return {.name = "dpm++2m",
          .aliases = {"DPMSolverMultistepScheduler", "dpmpp_2m", "DPM++ 2M", "k_dpmpp_2m"},
          .summary = "looks back one step for free; good from 15 steps on",
          .source =
              "Lu et al. 2211.01095, alg. 2; diffusers DPMSolverMultistepScheduler; k-diffusion "
              "sample_dpmpp_2m",
          .order = 2,
          .grid = Grid::multistep,
          .memory = 2,
          .options = {"solver-order", "solver-type", "lower-order-final", "euler-at-final"},
          .solver_types = {SolverType::midpoint, SolverType::heun},
          .highest_order = 3,
          .step = dpmpp_2m};
}

SamplerInfo dpmpp_3m_row() {
  return {.name = "dpm++3m",
          .aliases = {"dpmpp_3m", "DPM++ 3M", "k_dpmpp_3m"},
          .summary = "looks back two steps; smoother than dpm++2m, not for strong guidance",
          .source =
              "Lu et al. 2211.01095, appendix; diffusers DPMSolverMultistepScheduler of "
              "solver_order 3",
          .order = 2,
          .grid = Grid::multistep,
          .memory = 2,
          .options = {"solver-type", "lower-order-final", "euler-at-final"},
          .solver_types = {SolverType::midpoint, SolverType::heun},
          .step = dpmpp_3m};
}

SamplerInfo dpmpp_2m_sde_row() {
  return {.name = "dpm++2m_sde",
          .aliases = {"dpmpp_2m_sde", "DPM++ 2M SDE", "k_dpmpp_2m_sde", "sde-dpmsolver++"},
          .summary = "dpm++2m that adds noise again at every step",
          .source =
              "Lu et al. 2211.01095, section 5; diffusers DPMSolverMultistepScheduler of "
              "algorithm_type sde-dpmsolver++; k-diffusion sample_dpmpp_2m_sde",
          .order = 2,
          .stochastic = true,
          .draws = Draws::brownian_k,
          .grid = Grid::multistep,
          .memory = 2,
          .eta = 1,
          .options = {"eta", "s-noise", "solver-order", "solver-type", "lower-order-final", "euler-at-final"},
          .solver_types = {SolverType::midpoint, SolverType::heun},
          .highest_order = 3,
          .step = dpmpp_2m_sde};
}

SamplerInfo dpmpp_3m_sde_row() {
  return {.name = "dpm++3m_sde",
          .aliases = {"dpmpp_3m_sde", "DPM++ 3M SDE", "k_dpmpp_3m_sde"},
          .summary = "looks back two steps and adds noise again; for 25 steps and more",
          .source =
              "k-diffusion sample_dpmpp_3m_sde; diffusers DPMSolverMultistepScheduler of "
              "algorithm_type sde-dpmsolver++, solver_order 3",
          .order = 2,
          .stochastic = true,
          .draws = Draws::brownian_k,
          .grid = Grid::multistep,
          .memory = 2,
          .eta = 1,
          .options = {"eta", "s-noise", "solver-type", "lower-order-final", "euler-at-final"},
          .solver_types = {SolverType::midpoint, SolverType::heun},
          .k_solver_type = SolverType::heun,
          .step = dpmpp_3m_sde};
}

SamplerInfo dpm_solver_row() {
  return {.name = "dpm_solver",
          .aliases = {"dpmsolver"},
          .summary = "the predecessor of dpm++2m, in terms of noise; for little guidance",
          .source =
              "Lu et al. 2206.00927; diffusers DPMSolverMultistepScheduler of algorithm_type "
              "dpmsolver",
          .order = 2,
          .grid = Grid::multistep,
          .final = Final::first_trained,
          .memory = 2,
          .options = {"solver-order", "solver-type", "lower-order-final", "euler-at-final"},
          .solver_types = {SolverType::midpoint, SolverType::heun},
          .highest_order = 3,
          .step = dpm_solver};
}

}  // namespace darkroom
