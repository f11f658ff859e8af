#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "diffusion/samplers/ancestral.h"
#include "diffusion/samplers/exponential.h"
#include "diffusion/samplers/ode.h"
#include "diffusion/samplers/samplers.h"

namespace darkroom {
namespace {

// What two solvers of neighbouring orders make of one step.
struct Pair {
  at::Tensor low, high;
};

// DPM-Solver of order 1 and 2 with r1 = 1/2, or of order 2 and 3 with r1 = 1/3 and r2 = 2/3 (Lu et al.
// 2206.00927, appendix C).
class Solver {
 public:
  Solver(const Prediction& first, const Level& at, const Level& to, StepContext& context)
      : first_(first), start_(log_snr(at)), h_(log_snr(to) - start_), to_(to), context_(context) {}

  Pair pair_12() const {
    const at::Tensor change = change_at(part(1.0 / 2), {}, 0);
    const at::Tensor plain = jump(first_, to_);
    return {plain, plain.add(change, -to_.sigma * std::expm1(h_))};
  }

  Pair pair_23() const {
    const double r1 = 1.0 / 3, r2 = 2.0 / 3;
    const at::Tensor change = change_at(part(r1), {}, 0);
    const double bend = std::expm1(r2 * h_) / (r2 * h_) - 1;
    const at::Tensor later = change_at(part(r2), change, r2 / r1 * bend);
    const at::Tensor plain = jump(first_, to_);
    return {plain.add(change, -to_.sigma / (2 * r1) * std::expm1(h_)),
            plain.add(later, -to_.sigma / r2 * (std::expm1(h_) / h_ - 1))};
  }

 private:
  Level part(double share) const { return context_.walk.level_at(std::exp(-start_ - share * h_)); }

  // How eps at a level within the step differs from the first; x there takes `bend` of an earlier change.
  at::Tensor change_at(const Level& level, const at::Tensor& earlier, double bend) const {
    at::Tensor x = jump(first_, level);
    if (earlier.defined()) x = x.add(earlier, -level.sigma * bend);
    return context_.denoise(x, level).eps - first_.eps;
  }

  const Prediction& first_;
  double start_, h_;
  Level to_;
  StepContext& context_;
};

// Chooses the next step's length by the errors of the last three (Söderlind 2003; k-diffusion
// PIDStepSizeController).
class StepController {
 public:
  StepController(const SamplerOptions& o, double power)
      : h(o.h_init),
        gains_{(o.pcoeff + o.icoeff + o.dcoeff) / power, -(o.pcoeff + 2 * o.dcoeff) / power,
               o.dcoeff / power} {}

  // `error` of the step tried, 1 where it is just allowed. False: it is to be tried again, shorter.
  bool accept(double error) {
    constexpr double kSafety = 0.81;
    inverse_[0] = 1 / (error + 1e-8);
    if (inverse_[1] == 0) inverse_.fill(inverse_[0]);
    double factor = 1;
    for (size_t i = 0; i < gains_.size(); ++i) factor *= std::pow(inverse_[i], gains_[i]);
    factor = 1 + std::atan(factor - 1);
    if (factor >= kSafety) inverse_ = {inverse_[0], inverse_[0], inverse_[1]};
    h *= factor;
    return factor >= kSafety;
  }

  double h;

 private:
  std::array<double, 3> gains_, inverse_ = {0, 0, 0};
};

double error_of(const Pair& pair, const at::Tensor& before, const SamplerOptions& options) {
  const at::Tensor scale =
      at::maximum(pair.low.abs(), before.abs()).mul_(options.rtol).clamp_min_(options.atol);
  return (pair.low - pair.high).div_(scale).square_().mean().sqrt_().item<double>();
}

// k-diffusion's sample_dpm_adaptive. A step tried again asks the denoiser once less than there: its start is
// known.
at::Tensor dpm_adaptive(const at::Tensor& start, StepContext& context) {
  const SamplerOptions& o = context.options;
  const int64_t order = o.order > 0 ? o.order : 3;
  const auto& [first_level, end] = context.step();
  const double last = log_snr(end);
  StepController controller(o, o.eta > 0 ? 1.5 : static_cast<double>(order));
  at::Tensor x = start, before = start;
  Level at = first_level;
  Prediction first = context.denoise(x, at);
  for (;;) {
    const double t = log_snr(at), next = t + controller.h;
    const Level to = next < last ? context.walk.level_at(std::exp(-next)) : end;
    // With noise the deterministic part aims lower, though not below the end.
    const double ratio = noise_ratio(to);
    const double floor = std::max(noise_ratio(ancestral_step(at, to, o.eta).down), noise_ratio(end));
    const double up = to.alpha * std::sqrt(std::max(0.0, ratio * ratio - floor * floor));
    const Solver solver(first, at, {to.alpha, floor * to.alpha, to.timestep}, context);
    const Pair pair = order == 2 ? solver.pair_12() : solver.pair_23();
    const double error = error_of(pair, before, o);
    if (!std::isfinite(error)) return pair.high;
    if (!controller.accept(error)) continue;
    before = pair.low;
    x = o.eta > 0 ? pair.high.add(context.noise.draw(), up * o.s_noise) : pair.high;
    if (log_snr(to) >= last - 1e-5) return x;
    at = to;
    first = context.denoise(x, at);
  }
}

}  // namespace

SamplerInfo dpm_adaptive_row() {
  return {.name = "dpm_adaptive",
          .aliases = {"DPM adaptive", "k_dpm_ad"},
          .summary = "chooses its own steps by the error it sees (--rtol, --atol), whatever --steps says",
          .source = "Lu et al. 2206.00927, appendix C; k-diffusion sample_dpm_adaptive",
          .order = 3,
          .adaptive = true,
          .at_once = true,
          .calls = 0,
          .grid = Grid::sigma,
          .rtol = 0.05,
          .atol = 0.0078,
          .options = {"eta", "s-noise", "rtol", "atol"},
          .step = dpm_adaptive};
}

}  // namespace darkroom
