#include <algorithm>

#include "darkroom/model/pipeline.h"

namespace darkroom {
namespace {

// libtorch_cpu with its buffers, measured as resident memory of a run on the smallest model.
constexpr int64_t kRuntime = 250 << 20;

int64_t bytes_of(const std::string& precision) { return precision == "fp32" ? 4 : 2; }

}  // namespace

MemoryEstimate estimate_memory(const Manifest& manifest, const Settings& settings, int64_t batch,
                               const Pipeline::Options& options) {
  const auto element = static_cast<int64_t>(c10::elementSize(options.precision));
  MemoryEstimate estimate{.runtime = kRuntime};
  int64_t largest_file = 0;
  for (const auto& [name, network] : manifest.networks) {
    estimate.weights += network.parameters * element;
    largest_file = std::max(largest_file, network.parameters * bytes_of(network.stored_precision));
  }
  // While a network is converted, the one just read lies beside it.
  estimate.weights += largest_file;

  const double pixels = static_cast<double>(settings.width) * static_cast<double>(settings.height);
  const double scale = pixels * static_cast<double>(element) / 4;
  const double denoiser_batch = static_cast<double>(settings.cfg_scale > 1 ? 2 * batch : batch);
  const double denoiser = manifest.networks.at(manifest.stages.front().denoiser).activation_bytes_per_pixel;
  const double decoder = manifest.networks.at(manifest.output.decoder).activation_bytes_per_pixel;
  // One runs after the other; images are decoded one at a time.
  estimate.activations = static_cast<int64_t>(std::max(denoiser * denoiser_batch, decoder) * scale);
  return estimate;
}

}  // namespace darkroom
