#pragma once

#include "model/conditioner.h"
#include "model/networks.h"

namespace darkroom {

/// A model and what of it is in memory. Stays where it was made.
struct LoadedModel {
  /// Checks the hashes. `alone`: as the Conditioner's. Throws ModelError.
  LoadedModel(Manifest m, at::Device device, at::ScalarType precision, Diagnostics& diagnostics,
              bool alone = false)
      : manifest(std::move(m)),
        networks(manifest, device, precision),
        conditioner((check_files(), manifest), networks, diagnostics, alone) {}
  LoadedModel(const LoadedModel&) = delete;

  const Manifest::Stage& stage() const { return manifest.stages.front(); }
  Network& denoiser() { return networks.get(stage().denoiser); }

  void adapt(const std::shared_ptr<const Adaptation>& adaptation) {
    conditioner.adapt(*adaptation);
    networks.adapt(adaptation);
  }

  void put_encoders_aside() {
    for (const std::string& name : manifest.text_encoders()) networks.put_aside(name);
  }

  void check_files() {
    for (const auto& [name, network] : manifest.networks) networks.check(name);
    check_tokenizers(manifest);
  }

  Manifest manifest;
  Networks networks;
  Conditioner conditioner;
};

}  // namespace darkroom
