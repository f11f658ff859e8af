#include <algorithm>
#include <array>
#include <numeric>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "darkroom/model/pipeline.h"
#include "model/guidance.h"
#include "model/load.h"

namespace darkroom {
namespace {

// libtorch_cpu with its buffers, measured as resident memory of a run on the smallest model.
constexpr int64_t kRuntime = 250 << 20;

struct OffloadName {
  std::string_view name;
  Offload offload;
};
constexpr std::array kOffloads = {OffloadName{"none", Offload::none}, OffloadName{"text", Offload::text},
                                  OffloadName{"all", Offload::all}};

const Manifest::Network& denoiser_of(const Manifest& manifest) {
  return manifest.networks.at(manifest.stages.front().denoiser);
}

}  // namespace

std::vector<std::string> offload_names() { return names_of(kOffloads); }

Offload find_offload(std::string_view name) {
  return find_row<UsageError>("offload", name, kOffloads).offload;
}

MemoryEstimate estimate_memory(const Manifest& manifest, const Settings& settings, int64_t batch,
                               const Pipeline::Options& options, size_t prompts) {
  MemoryEstimate estimate{.runtime = kRuntime};
  const auto element = [&](const Manifest::Network& network) {
    return static_cast<int64_t>(c10::elementSize(runs_at(network, options.precision)));
  };
  const auto bytes = [&](const Manifest& model, const std::string& name) {
    const Manifest::Network& network = model.networks.at(name);
    return network.parameters * element(network);
  };
  // Of one picture of one pixel.
  const auto activations = [&](const Manifest::Network& network) {
    return network.activation_bytes_per_pixel * static_cast<double>(element(network)) / 4;
  };
  // The networks that are wanted at one time.
  std::vector<int64_t> times = {bytes(manifest, manifest.stages.front().denoiser),
                                bytes(manifest, manifest.output.decoder)};
  for (const Manifest* model : {&manifest, options.refiner ? &*options.refiner : nullptr}) {
    if (!model) continue;
    for (const std::string& name : model->text_encoders()) times.push_back(bytes(*model, name));
    if (model != &manifest) times.push_back(bytes(*model, model->stages.front().denoiser));
  }
  if (options.weaker) times.front() += bytes(*options.weaker, options.weaker->stages.front().denoiser);
  estimate.weights =
      options.offload == Offload::all ? std::ranges::max(times) : std::reduce(times.begin(), times.end());

  const double pixels = static_cast<double>(settings.width) * static_cast<double>(settings.height);
  const int64_t branches =
      is_guided(settings) ? guided_branches(settings, prompts) : static_cast<int64_t>(prompts);
  const double denoiser_batch = static_cast<double>(branches * batch);
  double denoiser = activations(denoiser_of(manifest));
  if (options.refiner) denoiser = std::max(denoiser, activations(denoiser_of(*options.refiner)));
  const auto tile = static_cast<double>(settings.vae_tiling);
  const double decoded = tile > 0 ? std::min(1.0, tile * tile / pixels) : 1;  // share of the picture at once
  const double decoder = decoded * static_cast<double>(std::min(batch, options.vae_slicing)) *
                         activations(manifest.networks.at(manifest.output.decoder));
  // One runs after the other.
  estimate.activations = static_cast<int64_t>(std::max(denoiser * denoiser_batch, decoder) * pixels);
  return estimate;
}

}  // namespace darkroom
