#include "darkroom/model/device_check.h"

#include <ATen/ATen.h>

namespace darkroom {
namespace {

// Latents after every step, on the CPU.
std::vector<at::Tensor> trace(const Manifest& manifest, const Settings& settings, const Request& request,
                              const Pipeline::Options& options, Diagnostics& diagnostics) {
  std::vector<at::Tensor> latents;
  Pipeline pipeline(manifest, options, diagnostics);
  pipeline.generate(settings, {request}, [&](int64_t, int64_t, const at::Tensor& x) {
    latents.push_back(x.to(at::kCPU, at::kDouble, /*non_blocking=*/false, /*copy=*/true));
  });
  return latents;
}

double relative(const at::Tensor& x, const at::Tensor& reference) {
  return ((x - reference).norm() / reference.norm()).item<double>();
}

}  // namespace

DeviceDifference compare_with_cpu(const Manifest& manifest, const Settings& settings, const Request& request,
                                  const Pipeline::Options& options, Diagnostics& diagnostics) {
  const std::vector<at::Tensor> device = trace(manifest, settings, request, options, diagnostics);
  const std::vector<at::Tensor> reference =
      trace(manifest, settings, request, {.weaker = options.weaker, .refiner = options.refiner}, diagnostics);
  return {relative(device.back(), reference.back()), relative(device.front(), reference.front())};
}

}  // namespace darkroom
