#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace darkroom::testing {

/// A device that is not the CPU on a machine that has no other: its memory is counted, its operations are the
/// CPU's, and as on a GPU those refuse tensors that are elsewhere.
at::Device stand_in_device();

/// Bytes of its memory in use.
int64_t stand_in_memory();

/// The most that there were since the last call.
int64_t stand_in_peak();

}  // namespace darkroom::testing
