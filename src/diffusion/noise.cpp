#include "darkroom/diffusion/noise.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

namespace darkroom {

SeededNoise::SeededNoise(const std::vector<uint32_t>& seeds, std::vector<int64_t> shape, at::ScalarType drawn,
                         at::TensorOptions like)
    : shape_(std::move(shape)), drawn_(drawn), like_(like) {
  // diffusers draws each image with a batch dimension of one.
  shape_.insert(shape_.begin(), 1);
  for (const uint32_t seed : seeds) generators_.push_back(at::detail::createCPUGenerator(seed));
}

at::Tensor SeededNoise::draw() {
  std::vector<at::Tensor> images;
  for (at::Generator& generator : generators_)
    images.push_back(at::randn(shape_, generator, at::TensorOptions().dtype(drawn_)));
  return at::cat(images).to(like_);
}

std::vector<at::Tensor> SeededNoise::states() const {
  std::vector<at::Tensor> states;
  for (const at::Generator& generator : generators_) states.push_back(generator.get_state());
  return states;
}

void SeededNoise::restore(const std::vector<at::Tensor>& states) {
  for (size_t i = 0; i < generators_.size(); ++i) generators_[i].set_state(states.at(i));
}

}  // namespace darkroom
