#include "darkroom/diffusion/noise.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <utility>

namespace darkroom {

SeededNoise::SeededNoise(const std::vector<uint32_t>& seeds, std::vector<int64_t> shape, at::ScalarType drawn,
                         at::TensorOptions like)
    : shape_(std::move(shape)), drawn_(drawn), like_(like) {
  // diffusers draws each image with a batch dimension of one.
  shape_.insert(shape_.begin(), 1);
  for (const uint32_t seed : seeds) generators_.push_back(at::detail::createCPUGenerator(seed));
}

std::vector<at::Tensor> SeededNoise::streams() const {
  std::vector<at::Tensor> states;
  for (const at::Generator& generator : generators_) states.push_back(generator.get_state());
  return states;
}

SeededNoise::Ahead SeededNoise::upload() {
  std::vector<at::Tensor> before = streams(), images;
  for (at::Generator& generator : generators_)
    images.push_back(at::randn(shape_, generator, at::TensorOptions().dtype(drawn_)));
  at::Tensor noise = at::cat(images);
  if (like_.device().is_cuda()) noise = noise.pin_memory();
  return {std::move(before), noise.to(like_, /*non_blocking=*/true)};
}

at::Tensor SeededNoise::draw() {
  at::Tensor noise = (next_ ? *std::exchange(next_, {}) : upload()).noise;
  next_ = upload();
  return noise;
}

std::vector<at::Tensor> SeededNoise::states() const { return next_ ? next_->states : streams(); }

void SeededNoise::restore(const std::vector<at::Tensor>& states) {
  next_.reset();
  for (size_t i = 0; i < generators_.size(); ++i) generators_[i].set_state(states.at(i));
}

}  // namespace darkroom
