#pragma once

#include <ATen/core/Tensor.h>

#include "darkroom/data/safetensors.h"

namespace darkroom {

/// What the view shows, as a tensor of its own on the CPU. Throws ModelError for a dtype other than F16,
/// BF16, F32, F64, U8, I32 and I64.
at::Tensor tensor_of(const TensorView& view);

/// The tensor's own memory as a view; it must be contiguous, on the CPU and of one of these dtypes.
TensorView view_of(const at::Tensor& tensor);

}  // namespace darkroom
