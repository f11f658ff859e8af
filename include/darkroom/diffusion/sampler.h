#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/diffusion/noise.h"
#include "darkroom/diffusion/prediction.h"
#include "darkroom/diffusion/walk.h"

namespace darkroom {

/// The variance of a DDPM step (Ho et al. 2006.11239, section 3.2; learned_range: Nichol & Dhariwal
/// 2102.09672, eq. 15).
enum class Variance { fixed_small, fixed_large, learned_range };

std::vector<std::string> variance_names();

/// Throws UsageError naming the nearest if there is none of this name.
Variance find_variance(std::string_view name);

/// The variants of an exponential integrator: of DPM-Solver's order 2 (and 3S), or UniPC's B(h).
enum class SolverType { midpoint, heun, bh1, bh2 };

std::vector<std::string> solver_type_names();

/// Throws UsageError naming the nearest if there is none of this name.
SolverType find_solver_type(std::string_view name);

/// What a person may set about a sampler. Its row says which of these it reads, by the names of the
/// command line.
struct SamplerOptions {
  double eta = 0;      ///< share of the noise that is added again: 0 is deterministic, 1 is the full amount
  double s_noise = 1;  ///< factor on all noise a sampler adds
  double s_churn = 0, s_tmin = 0,
         s_tmax = std::numeric_limits<double>::infinity();  ///< EDM 2206.00364, alg. 2
  int64_t order = 0;                                        ///< of a solver that has several; 0: its row's
  std::optional<SolverType> solver_type = {};               ///< none: the row's first
  bool lower_order_final = true;               ///< a short walk ends in steps of order 2 and 1 (diffusers)
  bool euler_at_final = false;                 ///< the last step is of order 1 whatever the walk's length
  std::vector<size_t> disable_corrector = {};  ///< UniPC: steps that the next one does not correct
  double rtol = 1e-3, atol = 1e-3;  ///< adaptive: error allowed in a step, as a share of x and beside it
  double h_init = 0.05;             ///< adaptive: the first step tried, in log(sigma/alpha)
  double pcoeff = 0, icoeff = 1, dcoeff = 0;  ///< adaptive: of the controller of the step's length
  double snr = 0.16;                          ///< of a corrector's step: its length, as noise over score
  int64_t corrector_steps = 1;                ///< after each step of a predictor
  Variance variance = Variance::fixed_small;
};

/// One look at the denoiser, which multistep samplers come back to.
struct Evaluation {
  Level level;
  at::Tensor x;
  Prediction prediction;
};

/// The newest first, as many as the sampler's row asks for.
using History = std::deque<Evaluation>;

/// Where a sampler stands in its walk, and what it may use there.
struct StepContext {
  const Denoise& denoise;
  const Walk& walk;
  size_t index;  ///< of the step in the walk
  Noise& noise;
  const SamplerOptions& options;
  History& history;  ///< evaluations of earlier steps of this run

  const Step& step() const { return walk.steps[index]; }
  size_t left() const { return walk.steps.size() - index; }  ///< this step included

  /// Asks the denoiser about x at the step's start, and keeps the answer in front of the history.
  const Prediction& evaluate(const at::Tensor& x);
};

/// How a sampler's noise of one step goes with that of the others.
enum class Draws {
  independent,
  brownian_k,  ///< Noise::draw_over, increments of one path, in the k convention alone
  brownian,    ///< the same in every convention
};

/// Takes x over one step of its walk. Knows no model family, guidance, device or precision, and computes in
/// the dtype of x; scalars are double.
using SamplerStep = at::Tensor (*)(const at::Tensor& x, StepContext& context);

/// One row per sampler. The --sampler option, `darkroom list samplers` and the walk builder all read this
/// table.
struct SamplerInfo {
  std::string_view name;
  std::vector<std::string_view> aliases;  ///< other programs' names for it
  std::string_view summary;
  std::string_view source;  ///< paper, diffusers class
  int order = 1;            ///< of its error; for several, the one it has by itself
  bool adaptive = false;    ///< reads its error in x, so that images must not be walked together
  bool at_once = false;     ///< chooses its own steps from the ends of the walk: at_once(Walk)
  bool stochastic = false;  ///< adds noise unless its options turn that off
  Draws draws = Draws::independent;
  bool reads_eps = true;  ///< so that CFG++, whose eps is not that of its x0, guides it
  int calls = 1;          ///< of the network a step; 0: as many as it finds it needs
  Grid grid = Grid::trained;
  bool rounds_karras = false;          ///< see WalkOptions
  Previous previous = Previous::next;  ///< where its steps end unless the person says otherwise
  Final final = Final::zero;
  bool flow_from_one = false;        ///< WalkOptions::flow_from_one
  bool model_decides_final = false;  ///< the model's set_alpha_to_one, not the row, says where it ends
  LimitedEps limited_eps = LimitedEps::derived;  ///< what its reference does when x0 is clipped
  size_t memory = 0;                             ///< evaluations it looks back on
  double eta = 0, rtol = 1e-3, atol = 1e-3;      ///< its defaults
  std::vector<std::string_view> options = {};    ///< it reads
  std::vector<SolverType> solver_types = {};     ///< it has, its default first
  std::optional<SolverType> k_solver_type = {};  ///< k-diffusion's, where it is another
  int64_t highest_order = 0;                     ///< of a solver that has several
  SamplerStep step;

  bool reads(std::string_view option) const;
};

std::span<const SamplerInfo> samplers();

/// What a sampler does in a convention unless told otherwise. k-diffusion has no order rule for short walks.
SamplerOptions default_options(const SamplerInfo& sampler, Convention convention);

/// By name or alias, ignoring case. Throws UsageError naming the nearest if there is none.
const SamplerInfo& find_sampler(std::string_view name);

/// Called after each step with its number (from 1), their count and x. May throw to stop the walk.
using StepObserver = std::function<void(int64_t step, int64_t steps, const at::Tensor& x)>;

/// All a walk needs to go on, besides its noise: x (B, ...), the steps that are done, and what was looked at.
struct SamplerState {
  at::Tensor x;
  size_t step = 0;
  History history = {};
};

/// Goes on from the state until `end` steps of the walk are done. Stopped and gone on with, a walk is the
/// same to the bit.
SamplerState sample_until(size_t end, const SamplerInfo& sampler, const Denoise& denoise, SamplerState state,
                          const Walk& walk, Noise& noise, const SamplerOptions& options,
                          const StepObserver& observer);

/// Walks x (B, ...) from the first level to the last and returns it.
at::Tensor sample(const SamplerInfo& sampler, const Denoise& denoise, at::Tensor x, const Walk& walk,
                  Noise& noise, const SamplerOptions& options, const StepObserver& observer);

}  // namespace darkroom
