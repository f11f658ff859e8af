// libtorch's PrivateUse1, the device it keeps for others to implement:
// https://docs.pytorch.org/tutorials/advanced/privateuseone.html
#include "support/stand_in_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>

namespace darkroom::testing {
namespace {

std::atomic<int64_t> memory_in_use = 0, memory_peak = 0;

struct Block {
  int64_t size;
  std::unique_ptr<std::byte[]> memory;
};

class CountingAllocator : public c10::Allocator {
 public:
  at::DataPtr allocate(size_t size) override {
    memory_in_use += static_cast<int64_t>(size);
    memory_peak = std::max(memory_peak.load(), memory_in_use.load());
    auto* block = new Block{static_cast<int64_t>(size), std::make_unique<std::byte[]>(size)};
    return {block->memory.get(), block, release, stand_in_device()};
  }
  at::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t size) const override {
    default_copy_data(to, from, size);
  }

 private:
  static void release(void* context) {
    auto* block = static_cast<Block*>(context);
    memory_in_use -= block->size;
    delete block;
  }
};

CountingAllocator allocator;
constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

/// The same memory as a tensor of the CPU.
at::Tensor on_cpu(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::from_blob(tensor.mutable_data_ptr(), tensor.sizes(), tensor.strides(),
                       at::TensorOptions(tensor.scalar_type()).device(at::kCPU));
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, kKeys, dtype.value_or(at::kFloat), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef strides, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, strides, &allocator, kKeys, dtype.value_or(at::kFloat));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  at::native::resize_(to, from.sizes());
  return copy_from(from, to, false);
}

bool may_become(const at::Tensor&, const at::Tensor&) { return true; }

/// A number may come from the CPU, as everywhere in libtorch.
void check_place(const char* operation, const at::Tensor& tensor) {
  TORCH_CHECK(!tensor.defined() || tensor.dim() == 0 || tensor.device() == stand_in_device(), operation,
              ": a tensor of shape ", tensor.sizes(), " is on ", tensor.device());
}

/// libtorch asks those devices for convolutions that it knows nothing about.
at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                       at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding,
                       int64_t groups) {
  for (const at::Tensor& tensor : {input, weight, bias.value_or(at::Tensor())})
    check_place("convolution", tensor);
  return at::convolution(on_cpu(input), on_cpu(weight), bias ? std::optional(on_cpu(*bias)) : std::nullopt,
                         stride, padding, dilation, transposed, output_padding, groups)
      .to(stand_in_device());
}

/// Every other operation, on the CPU.
void compute(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  for (const c10::IValue& argument : torch::jit::last(*stack, operation.schema().arguments().size())) {
    const auto tensors = argument.isTensor()       ? std::vector<at::Tensor>{argument.toTensor()}
                         : argument.isTensorList() ? argument.toTensorVector()
                                                   : std::vector<at::Tensor>();
    for (const at::Tensor& tensor : tensors) check_place(operation.schema().name().c_str(), tensor);
  }
  at::native::cpu_fallback(operation, stack);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&compute>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_has_compatible_shallow_copy_type", may_become);
  library.impl("convolution_overrideable", convolution);
  // libtorch's own for unknown devices refuses what a CPU's and a GPU's take.
  library.impl("native_group_norm", torch::CppFunction::makeFromBoxedFunction<&compute>());
  library.impl("as_strided", at::native::as_strided_tensorimpl);
  library.impl("view", at::native::view);
  library.impl("_reshape_alias", at::native::_reshape_alias);
}

C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::PrivateUse1>)

}  // namespace

at::Device stand_in_device() { return {c10::DeviceType::PrivateUse1, 0}; }

int64_t stand_in_memory() { return memory_in_use; }

int64_t stand_in_peak() { return memory_peak.exchange(memory_in_use); }

}  // namespace darkroom::testing
