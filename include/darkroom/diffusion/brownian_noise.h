#pragma once

#include <memory>
#include <vector>

#include "darkroom/diffusion/noise.h"

namespace darkroom {

/// Beside another noise's single draws: for each image one Brownian path over the noise levels, decided by
/// its seed alone. A walk with more steps meets the same path more often, and so comes to a similar picture
/// (k-diffusion: BrownianTreeNoiseSampler, over torchsde's tree, whose numbers are others).
class BrownianNoise : public Noise {
 public:
  /// As SeededNoise; `single` gives the draws that belong to no interval.
  BrownianNoise(Noise& single, const std::vector<uint32_t>& seeds, std::vector<int64_t> shape,
                at::TensorOptions like);
  ~BrownianNoise() override;

  at::Tensor draw() override;
  at::Tensor draw_over(double from, double to) override;

 private:
  class Path;
  Noise& single_;
  std::vector<Path> paths_;
  at::TensorOptions like_;
};

}  // namespace darkroom
