#pragma once

#include <ATen/ATen.h>

#include <map>
#include <stdexcept>
#include <string>

#include "darkroom/data/safetensors.h"

namespace darkroom::testing {

/// A tensor of a golden file as a tensor of its own.
inline at::Tensor tensor_of(const TensorView& view) {
  static const std::map<std::string, at::ScalarType> kTypes = {
      {"F32", at::kFloat}, {"F64", at::kDouble}, {"I64", at::kLong},     {"I32", at::kInt},
      {"U8", at::kByte},   {"F16", at::kHalf},   {"BF16", at::kBFloat16}};
  const auto type = kTypes.find(view.dtype);
  if (type == kTypes.end()) throw std::runtime_error("golden of dtype " + view.dtype);
  return at::from_blob(const_cast<uint8_t*>(view.bytes.data()), view.shape, type->second).clone();
}

/// Largest |a - b|, over max(1, largest |b|): the measure of the tolerances in this folder. Throws on NaN,
/// which would compare as no difference.
inline double worst_difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  if (!x.isfinite().all().item<bool>() || !y.isfinite().all().item<bool>())
    throw std::runtime_error("not finite");
  return (x - y).abs().max().item<double>() / std::max(1.0, y.abs().max().item<double>());
}

}  // namespace darkroom::testing
