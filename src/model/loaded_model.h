#pragma once

#include "model/conditioner.h"
#include "model/load.h"
#include "model/networks.h"

namespace darkroom {

/// A model and what of it is in memory. Stays where it was made.
struct LoadedModel {
  /// Checks the hashes. Throws ModelError.
  LoadedModel(Manifest m, at::Device device, at::ScalarType precision, Diagnostics& diagnostics)
      : manifest(std::move(m)),
        networks((check_hashes(manifest), manifest), device, precision),
        conditioner(manifest, networks, diagnostics) {}
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

  Manifest manifest;
  Networks networks;
  Conditioner conditioner;
};

}  // namespace darkroom
