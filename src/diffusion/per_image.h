#pragma once

#include <ATen/ATen.h>

#include <numeric>
#include <vector>

namespace darkroom {

/// All dimensions but the batch: what is done to an image never depends on the rest of its batch.
inline std::vector<int64_t> image_dimensions(const at::Tensor& x) {
  std::vector<int64_t> dimensions(static_cast<size_t>(x.dim() - 1));
  std::iota(dimensions.begin(), dimensions.end(), 1);
  return dimensions;
}

/// Inner product of each image of a with that of b: (B, 1, 1, ...).
inline at::Tensor image_product(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(image_dimensions(a), /*keepdim=*/true);
}

/// L2 norm of each image: (B, 1, 1, ...).
inline at::Tensor image_norm(const at::Tensor& x) {
  return at::linalg_vector_norm(x, 2, image_dimensions(x), /*keepdim=*/true);
}

}  // namespace darkroom
