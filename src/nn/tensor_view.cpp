#include "nn/tensor_view.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

struct Dtype {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array kDtypes = {Dtype{"F32", at::kFloat},     Dtype{"F16", at::kHalf},
                                Dtype{"BF16", at::kBFloat16}, Dtype{"F64", at::kDouble},
                                Dtype{"U8", at::kByte},       Dtype{"I64", at::kLong},
                                Dtype{"I32", at::kInt}};

}  // namespace

at::Tensor tensor_of(const TensorView& view) {
  const auto dtype = std::ranges::find(kDtypes, view.dtype, &Dtype::name);
  if (dtype == kDtypes.end()) throw ModelError("holds a tensor of dtype " + view.dtype);
  at::Tensor tensor = at::empty(view.shape, dtype->type);
  // The bytes may not be aligned.
  if (!view.bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

TensorView view_of(const at::Tensor& tensor) {
  for (const Dtype& dtype : kDtypes)
    if (dtype.type == tensor.scalar_type())
      return {std::string(dtype.name),
              tensor.sizes().vec(),
              {static_cast<const uint8_t*>(tensor.const_data_ptr()), tensor.nbytes()}};
  throw BugError(std::string("no view of a tensor of dtype ") + toString(tensor.scalar_type()));
}

}  // namespace darkroom
