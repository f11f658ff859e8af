#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace darkroom {

/// "auto", "cpu", "cuda" or "cuda:N" as a device. CUDA's libraries are opened here, when first asked for, so
/// a CPU run never loads them; "auto" is CUDA where a usable device is found, else the CPU. Throws UsageError
/// for another word, or for a CUDA device that is not there, saying what was found instead.
at::Device find_device(std::string_view name);

/// "fp32", "bf16", "fp16" or "auto" on that device. "auto" is fp16 on CUDA and fp32 on every CPU, so that a
/// seed gives the same picture on all of them. Throws UsageError for another word, or for fp16 on a CPU.
at::ScalarType find_precision(std::string_view name, at::Device device);

/// How many CPU threads libtorch uses; 0 leaves it to libtorch.
void set_threads(int64_t count);

/// "fp32", "bf16", "fp16".
std::string precision_name(at::ScalarType precision);

/// "cpu", or "cuda:0 (NVIDIA H200)".
std::string device_name(at::Device device);

}  // namespace darkroom
