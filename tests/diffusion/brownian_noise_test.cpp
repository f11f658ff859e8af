#include "darkroom/diffusion/brownian_noise.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "darkroom/diffusion/sampler.h"
#include "support/toys.h"

namespace darkroom {
namespace {

using testing::RecordedNoise;

constexpr int64_t kCount = 20000;

struct Image {
  RecordedNoise single{{}};
  BrownianNoise noise;
  explicit Image(const std::vector<uint32_t>& seeds = {7}, int64_t count = kCount)
      : noise(single, seeds, {count}, at::TensorOptions(at::kDouble)) {}
};

TEST(BrownianNoise, IsUnitNormalOverAnyInterval) {
  Image image;
  for (const auto& [from, to] : std::vector<std::pair<double, double>>{
           {14.6, 12.1}, {14.6, 0.03}, {1.0001, 0.9999}, {3.0001, 3.0}, {0.05, 0.0292}, {8, 4}, {700, 4}}) {
    const at::Tensor z = image.noise.draw_over(from, to);
    EXPECT_NEAR(z.mean().item<double>(), 0, 4 / std::sqrt(kCount)) << from << " " << to;
    EXPECT_NEAR(z.var().item<double>(), 1, 6 / std::sqrt(kCount)) << from << " " << to;
  }
}

double correlation(const at::Tensor& a, const at::Tensor& b) { return (a * b).mean().item<double>(); }

TEST(BrownianNoise, SharesWhatIntervalsShare) {
  Image image;
  const at::Tensor whole = image.noise.draw_over(14, 2), upper = image.noise.draw_over(14, 5);
  const at::Tensor lower = image.noise.draw_over(5, 2);
  EXPECT_NEAR(correlation(upper, lower), 0, 4 / std::sqrt(kCount));
  EXPECT_NEAR(correlation(whole, upper), std::sqrt(9.0 / 12), 6 / std::sqrt(kCount));
}

// The increments of a finer walk add up to a coarser one's, asked in any order.
TEST(BrownianNoise, IsOnePathWhateverTheStepCount) {
  Image coarse, fine;
  at::Tensor sum = at::zeros({1, kCount}, at::kDouble);
  const std::vector<double> levels = {0.0292, 0.1, 0.77, 2, 2.5, 6, 14.6};
  for (size_t i = 1; i < levels.size(); ++i)
    sum += fine.noise.draw_over(levels[i], levels[i - 1]) * std::sqrt(levels[i] - levels[i - 1]);
  const at::Tensor whole = coarse.noise.draw_over(14.6, 0.0292) * std::sqrt(14.6 - 0.0292);
  // Between its 1024 points an octave's path is straight, of which the deviation is corrected.
  EXPECT_LT((sum - whole).abs().max().item<double>(), 2e-2);
}

TEST(BrownianNoise, BelongsToItsSeedAlone) {
  Image both({3, 4}, 6), second({4}, 6);
  second.noise.draw_over(9, 8);
  const at::Tensor pair = both.noise.draw_over(5, 1);
  EXPECT_TRUE(pair[1].equal(second.noise.draw_over(5, 1)[0]));
  EXPECT_FALSE(pair[0].equal(pair[1]));
}

TEST(BrownianNoise, GivesSingleDrawsFromTheOtherNoise) {
  RecordedNoise single({at::full({1, 2}, 0.5)});
  BrownianNoise noise(single, {1}, {2}, at::TensorOptions(at::kFloat));
  EXPECT_TRUE(noise.draw().equal(at::full({1, 2}, 0.5)));
}

}  // namespace
}  // namespace darkroom
