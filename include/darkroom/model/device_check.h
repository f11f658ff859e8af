#pragma once

#include "darkroom/model/pipeline.h"

namespace darkroom {

/// How far a device and precision are from the CPU at fp32.
struct DeviceDifference {
  double latents = 0;     ///< relative L2 difference of the latents after the last step
  double first_step = 0;  ///< after the first step, before differences can grow
};

/// Walks one request with these settings on the CPU at fp32 and with `options`, and compares. Throws as
/// Pipeline.
DeviceDifference compare_with_cpu(const Manifest& manifest, const Settings& settings, const Request& request,
                                  const Pipeline::Options& options, Diagnostics& diagnostics);

}  // namespace darkroom
