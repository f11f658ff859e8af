#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <utility>
#include <vector>

#include "darkroom/diffusion/noise.h"
#include "darkroom/diffusion/prediction.h"
#include "darkroom/diffusion/walk.h"

namespace darkroom::testing {

/// Noise that was recorded, in order.
class RecordedNoise : public Noise {
 public:
  explicit RecordedNoise(std::vector<at::Tensor> draws) : draws_(std::move(draws)) {}
  at::Tensor draw() override { return draws_.at(used_++); }
  size_t used() const { return used_; }

 private:
  std::vector<at::Tensor> draws_;
  size_t used_ = 0;
};

/// The exact denoiser of data N(mean, deviation^2): E[x0 | x] (spec: every coordinate independent).
inline Denoise gaussian_denoiser(double mean, double deviation) {
  return [=](const at::Tensor& x, const Level& level) {
    const double variance = deviation * deviation;
    const double total = level.alpha * level.alpha * variance + level.sigma * level.sigma;
    const at::Tensor centred = x - level.alpha * mean;
    return Prediction{centred * (level.alpha * variance / total) + mean, centred * (level.sigma / total), {}};
  };
}

/// Variance-preserving levels from sigma/alpha = `from` down to `to` in `steps` geometric steps.
inline Walk exponential_walk(double from, double to, int steps) {
  const auto level = [&](int i) {
    const double ratio = from * std::pow(to / from, static_cast<double>(i) / steps);
    const double alpha = 1 / std::sqrt(1 + ratio * ratio);
    return Level{alpha, ratio * alpha, static_cast<double>(steps - i)};
  };
  Walk walk;
  for (int i = 0; i < steps; ++i) walk.steps.push_back({level(i), level(i + 1)});
  return walk;
}

/// Where the probability-flow ODE takes x between two levels, for Gaussian data: exact.
inline at::Tensor gaussian_flow(const at::Tensor& x, const Level& at, const Level& to, double mean,
                                double deviation) {
  const auto spread = [&](const Level& l) {
    return std::sqrt(l.alpha * l.alpha * deviation * deviation + l.sigma * l.sigma);
  };
  return (x - at.alpha * mean) * (spread(to) / spread(at)) + to.alpha * mean;
}

}  // namespace darkroom::testing
