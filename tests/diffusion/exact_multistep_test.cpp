// The exponential integrators against exact solutions on Gaussian data, in float64, and against each other.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "darkroom/diffusion/sampler.h"
#include "diffusion/samplers/exponential.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using testing::exponential_walk;
using testing::gaussian_denoiser;
using testing::gaussian_flow;

constexpr double kMean = 0.3, kDeviation = 0.5;

at::Tensor number(double value) { return at::full({1}, value, at::kDouble); }

// Draws the k-th unit vector the k-th time, after `first` zeros.
class UnitNoise : public Noise {
 public:
  UnitNoise(int64_t first, int64_t size) : next_(first), size_(size) {}
  at::Tensor draw() override {
    at::Tensor z = at::zeros({size_}, at::kDouble);
    if (next_ < size_) z[next_++] = 1;
    return z;
  }

 private:
  int64_t next_, size_;
};

at::Tensor run(std::string_view sampler, const Walk& walk, const at::Tensor& x,
               const SamplerOptions& options) {
  UnitNoise noise(0, x.numel());
  return sample(find_sampler(sampler), gaussian_denoiser(kMean, kDeviation), x, walk, noise, options, {});
}

struct Order {
  std::string_view sampler;
  SamplerOptions options;
  double order, tolerance;
};

class MultistepOrder : public ::testing::TestWithParam<Order> {};

TEST_P(MultistepOrder, OnGaussianData) {
  const Order& p = GetParam();
  std::vector<double> errors;
  for (const int steps : {48, 96, 192, 384}) {
    const Walk walk = exponential_walk(14.6, 0.05, steps);
    const Level first = walk.steps.front().at, last = walk.steps.back().to;
    const at::Tensor x = number(9 * first.alpha);
    const at::Tensor exact = gaussian_flow(x, first, last, kMean, kDeviation);
    errors.push_back(((run(p.sampler, walk, x, p.options) - exact) / last.alpha).abs().item<double>());
  }
  const double order = std::log2(errors[2] / errors[3]);
  std::printf("%-12s order %.2f %.2f %.2f, error at 48 steps %.1e\n", std::string(p.sampler).c_str(),
              std::log2(errors[0] / errors[1]), std::log2(errors[1] / errors[2]), order, errors[0]);
  EXPECT_NEAR(order, p.order, p.tolerance);
}

SamplerOptions order(int64_t order, SolverType type = SolverType::midpoint) {
  return {.order = order, .solver_type = type};
}
SamplerOptions full_order(int64_t order, SolverType type = SolverType::bh2) {
  return {.order = order, .solver_type = type, .lower_order_final = false};
}

// Spec 8.2. A walk that starts with a step of order 1 has order 2 in the end, however high the rest.
INSTANTIATE_TEST_SUITE_P(
    Solvers, MultistepOrder,
    ::testing::Values(Order{"dpm++2m", order(1), 1, 0.15}, Order{"dpm++2m", order(2), 2, 0.25},
                      Order{"dpm++2m", order(2, SolverType::heun), 2, 0.25}, Order{"dpm++3m", {}, 2, 0.25},
                      Order{"dpm_solver", order(1), 1, 0.15}, Order{"dpm_solver", order(2), 2, 0.25},
                      Order{"dpm_solver", order(3), 2, 0.25}, Order{"deis", order(1), 1, 0.15},
                      Order{"deis", order(2), 2, 0.25}, Order{"deis", order(3), 2, 0.25},
                      Order{"dpm++2s", full_order(2, SolverType::midpoint), 2, 0.25},
                      Order{"dpm++2s", full_order(2, SolverType::heun), 2, 0.25},
                      Order{"dpm++2s", full_order(3, SolverType::heun), 3, 0.25},
                      Order{"unipc", full_order(1), 2, 0.25}, Order{"unipc", full_order(2), 3, 0.25},
                      Order{"unipc", full_order(2, SolverType::bh1), 3, 0.25},
                      Order{"unipc", full_order(3), 4, 0.25}));

// Every sampler here is linear on Gaussian data: with a column for each draw its output's mean and variance
// are exact.
struct MeanAndVariance {
  double mean, variance;
};
MeanAndVariance end_of(std::string_view sampler, const Walk& walk, const SamplerOptions& options) {
  const auto columns = static_cast<int64_t>(walk.steps.size()) + 2;
  at::Tensor x = at::zeros({columns}, at::kDouble);
  x[1] = 80 * walk.steps.front().at.alpha;
  UnitNoise noise(2, columns);
  at::Tensor y =
      sample(find_sampler(sampler), gaussian_denoiser(kMean, kDeviation), x, walk, noise, options, {});
  y = y / walk.steps.back().to.alpha;
  const double mean = y[0].item<double>();
  return {mean, (y.slice(0, 1) - mean).square().sum().item<double>()};
}

// Computed independently (spec 8.3): the first order is Euler ancestral. Its walks end at 0.
TEST(DpmppSde, OfOrderOneHasTheKnownVariance) {
  for (const auto& [steps, variance] : {std::pair{20, .1616}, {40, .2002}, {80, .2235}, {160, .2363}}) {
    Walk walk = exponential_walk(80, 0.01, steps - 1);
    walk.steps.push_back({walk.steps.back().to, {1, 0, 0}});
    const MeanAndVariance end = end_of("dpm++2m_sde", walk, {.eta = 1, .order = 1});
    EXPECT_NEAR(end.variance, variance, 1e-4) << steps;
    EXPECT_NEAR(end.mean, kMean, 1e-4) << steps;
  }
}

TEST(DpmppSde, VarianceConvergesWithOrderTwo) {
  struct Row {
    std::string_view sampler;
    double eta;
    SolverType type;
  };
  for (const Row& row : {Row{"dpm++2m_sde", 1, SolverType::midpoint}, Row{"dpm++2m_sde", 1, SolverType::heun},
                         Row{"dpm++2m_sde", 0.5, SolverType::midpoint}, Row{"dpm++3m_sde", 1, {}}}) {
    std::vector<double> errors;
    for (const int steps : {80, 160, 320}) {
      const MeanAndVariance end =
          end_of(row.sampler, exponential_walk(80, 0.01, steps), {.eta = row.eta, .solver_type = row.type});
      EXPECT_NEAR(end.mean, kMean, 1e-3);
      errors.push_back(std::abs(end.variance - kDeviation * kDeviation - 0.01 * 0.01));
    }
    const double measured = std::log2(errors[1] / errors[2]);
    std::printf("%-12s eta %.1f variance order %.2f %.2f, error at 80 steps %.1e\n",
                std::string(row.sampler).c_str(), row.eta, std::log2(errors[0] / errors[1]), measured,
                errors[0]);
    EXPECT_NEAR(measured, 2, 0.25) << row.sampler;
  }
}

TEST(DpmppSde, MonteCarloAgreesWithTheExactMoments) {
  constexpr int64_t kCount = 20000;
  const Walk walk = exponential_walk(80, 0.01, 20);
  for (const char* sampler : {"dpm++2m_sde", "dpm++3m_sde"}) {
    const MeanAndVariance expected = end_of(sampler, walk, {.eta = 1});
    SeededNoise noise({11}, {kCount}, at::kFloat, at::TensorOptions(at::kDouble));
    const at::Tensor start = 80 * walk.steps.front().at.alpha * noise.draw();
    const at::Tensor y = sample(find_sampler(sampler), gaussian_denoiser(kMean, kDeviation), start, walk,
                                noise, {.eta = 1}, {}) /
                         walk.steps.back().to.alpha;
    EXPECT_NEAR(y.mean().item<double>(), expected.mean, 4 * kDeviation / std::sqrt(kCount));
    EXPECT_NEAR(y.var().item<double>(), expected.variance, 6 * 0.25 / std::sqrt(kCount));
  }
}

/// The samplers of this file.
const std::vector<std::string_view> kSamplers = {"dpm++2m", "dpm++3m",    "dpm++2m_sde", "dpm++3m_sde",
                                                 "dpm++2s", "dpm_solver", "deis",        "unipc"};

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

const at::Tensor& start() {
  static const at::Tensor x = at::linspace(-2, 2, 12, at::kDouble);
  return x;
}

TEST(Identities, OfTheExponentialIntegrators) {
  const Walk walk = exponential_walk(14.6, 0.05, 12);
  const auto equal = [&](std::string_view a, const SamplerOptions& of_a, std::string_view b,
                         const SamplerOptions& of_b) {
    EXPECT_LT(difference(run(a, walk, start(), of_a), run(b, walk, start(), of_b)), 1e-12) << a << " " << b;
  };
  equal("dpm++2m", order(1), "ddim", {});
  equal("dpm_solver", order(1), "ddim", {});
  equal("dpm++2s", order(1), "ddim", {});
  equal("dpm++2m_sde", {.eta = 1, .order = 1}, "ddim", {.eta = 1});
  equal("dpm++2m_sde", {.eta = 0}, "dpm++2m", {});
  equal("dpm++2m", order(3), "dpm++3m", {});
  equal("dpm_solver", order(2, SolverType::heun), "deis", order(2));
  equal("unipc", {.order = 1, .disable_corrector = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}, "ddim", {});
}

// Only the noise ratio matters to them, so a walk is the same in every variable.
TEST(ExponentialIntegrators, AreTheSameInEveryVariable) {
  const Walk preserving = exponential_walk(14.6, 0.05, 12);
  const auto in = [&](double (*alpha)(double ratio)) {
    Walk walk = preserving;
    for (Step& step : walk.steps)
      for (Level* level : {&step.at, &step.to}) {
        const double ratio = noise_ratio(*level);
        *level = {alpha(ratio), ratio * alpha(ratio), level->timestep};
      }
    return walk;
  };
  const Walk exploding = in([](double) { return 1.0; });
  const Walk flow = in([](double ratio) { return 1 / (1 + ratio); });
  for (const std::string_view sampler : kSamplers) {
    const auto end = [&](const Walk& walk) {
      return run(sampler, walk, start() * walk.steps.front().at.alpha, {.eta = 1}) /
             walk.steps.back().to.alpha;
    };
    EXPECT_LT(difference(end(exploding), end(preserving)), 1e-11) << sampler;
    EXPECT_LT(difference(end(flow), end(preserving)), 1e-11) << sampler;
  }
}

// A curve that ends where the schedule does makes the last step of diffusers' sigma_min one of no length.
TEST(ExponentialIntegrators, StandStillInAStepOfNoLength) {
  Walk walk = exponential_walk(14.6, 0.05, 6);
  for (const std::string_view sampler : {"dpm++2m", "dpm++3m", "dpm_solver", "deis"}) {
    const SamplerOptions options{.lower_order_final = false};
    const at::Tensor before = run(sampler, walk, start(), options);
    Walk longer = walk;
    longer.steps.push_back({walk.steps.back().to, walk.steps.back().to});
    EXPECT_LT(difference(run(sampler, longer, start(), options), before), 1e-12) << sampler;
  }
}

TEST(ExponentialIntegrators, WalkFromNoSignalToNoNoise) {
  Walk walk = exponential_walk(14.6, 0.05, 6);
  walk.steps.front().at = {0, 1, 7};
  walk.steps.back().to = {1, 0, 0};
  for (const std::string_view sampler : kSamplers)
    for (const bool lowers : {true, false}) {
      const at::Tensor x = run(sampler, walk, start(), {.eta = 1, .lower_order_final = lowers});
      EXPECT_LT(x.abs().max().item<double>(), 10) << sampler;  // false for NaN too
    }
}

TEST(ExponentialIntegrators, MomentsAreTheIntegrals) {
  for (const double h : {-3.0, -1e-3, 1e-9, 1e-4, 0.3, 0.999, 1.001, 8.0}) {
    const Moments m = moments(h);
    constexpr int kCells = 4000;
    for (int j = 0; j < 4; ++j) {
      double sum = 0;
      for (int cell = 0; cell < kCells; ++cell) {
        const double u = (cell + 0.5) / kCells;
        sum += h * std::exp(-h * (1 - u)) * std::pow(u, j) / kCells;
      }
      EXPECT_NEAR(m[static_cast<size_t>(j)] / sum, 1, 1e-6) << h << " " << j;
    }
  }
}

}  // namespace
}  // namespace darkroom
