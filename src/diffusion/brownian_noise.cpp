#include "darkroom/diffusion/brownian_noise.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

namespace darkroom {
namespace {

constexpr int kDepth = 10;                 // an octave's halvings: below, the path is straight
constexpr double kLowest = 1.0 / 1048576;  // below, the path stands still; no model has a lower level

// Steele et al., SplitMix64: neighbouring numbers become unlike seeds.
uint64_t mixed(uint64_t number) {
  number += 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
  return number ^ (number >> 31);
}

// Where a level lies: between 2^octave and twice that, in a cell of an octave's 2^kDepth.
struct Place {
  int octave;
  int64_t cell;
  double inside;  // 0 at the cell's lower end, 1 at its upper
  double width;   // of the cell

  explicit Place(double level) {
    octave = std::ilogb(level);
    const double cells = (std::ldexp(level, -octave) - 1) * std::ldexp(1, kDepth);
    cell = static_cast<int64_t>(cells);
    inside = cells - static_cast<double>(cell);
    width = std::ldexp(1, octave - kDepth);
  }
};

// Of the increment between two levels, both on straight pieces of the path.
double variance_between(double low, double high) {
  const Place a(low), b(high);
  if (a.octave == b.octave && a.cell == b.cell) return std::pow(high - low, 2) / a.width;
  return high - low - a.inside * (1 - a.inside) * a.width - b.inside * (1 - b.inside) * b.width;
}

}  // namespace

// W over the positive numbers, 0 at 1, found by halving octaves: a halving's middle is the mean of its ends
// and noise of its own (Brownian bridge), from a generator seeded by the place alone.
class BrownianNoise::Path {
 public:
  Path(uint32_t seed, std::vector<int64_t> shape) : seed_(seed), shape_(std::move(shape)) {}

  at::Tensor at(double level) {
    for (const auto& [known, value] : recent_)
      if (known == level) return value;
    recent_.push_front({level, find(level)});
    if (recent_.size() > 2) recent_.pop_back();
    return recent_.front().second;
  }

 private:
  at::Tensor find(double level) {
    const Place place(level);
    at::Tensor low = anchor(place.octave), high = low + over(place.octave);
    for (int depth = 1; depth <= kDepth; ++depth) {
      const double width = std::ldexp(1, place.octave - depth + 1);
      const int64_t half = place.cell >> (kDepth - depth), node = (int64_t{1} << (depth - 1)) + half / 2;
      const at::Tensor middle = (low + high) / 2 + normal(place.octave, node) * (std::sqrt(width) / 2);
      (half % 2 ? low : high) = middle;
    }
    return low + (high - low) * place.inside;
  }

  // W at 2^octave.
  at::Tensor anchor(int octave) {
    at::Tensor sum = at::zeros(shape_, at::kDouble);
    for (int below = 0; below < octave; ++below) sum += over(below);
    for (int below = octave; below < 0; ++below) sum -= over(below);
    return sum;
  }

  // The increment over a whole octave.
  const at::Tensor& over(int octave) {
    at::Tensor& held = octaves_[octave];
    if (!held.defined()) held = normal(octave, 0) * std::sqrt(std::ldexp(1, octave));
    return held;
  }

  at::Tensor normal(int octave, int64_t node) const {
    const uint64_t place = (static_cast<uint64_t>(octave + 1024) << 32) + static_cast<uint64_t>(node);
    // torch's CPU generator uses 32 bits of a seed.
    const uint64_t seed = mixed(mixed(seed_) ^ place) >> 32;
    return at::randn(shape_, at::detail::createCPUGenerator(seed)).to(at::kDouble);
  }

  uint32_t seed_;
  std::vector<int64_t> shape_;
  std::map<int, at::Tensor> octaves_ = {};
  std::deque<std::pair<double, at::Tensor>> recent_ = {};
};

BrownianNoise::BrownianNoise(Noise& single, const std::vector<uint32_t>& seeds, std::vector<int64_t> shape,
                             at::TensorOptions like)
    : single_(single), like_(like) {
  shape.insert(shape.begin(), 1);
  for (const uint32_t seed : seeds) paths_.emplace_back(seed, shape);
}

BrownianNoise::~BrownianNoise() = default;

at::Tensor BrownianNoise::draw() { return single_.draw(); }

at::Tensor BrownianNoise::draw_over(double from, double to) {
  const double start = std::max(from, kLowest), end = std::max(to, kLowest);
  if (!std::isfinite(start) || start == end) return draw();
  const double deviation = std::sqrt(variance_between(std::min(start, end), std::max(start, end)));
  std::vector<at::Tensor> images;
  for (Path& path : paths_) images.push_back((path.at(start) - path.at(end)) / deviation);
  return at::cat(images).to(like_);
}

}  // namespace darkroom
