#pragma once

#include <map>
#include <memory>
#include <string>

#include "darkroom/model/manifest.h"
#include "darkroom/nn/network.h"
#include "model/adaptation.h"
#include "model/load.h"

namespace darkroom {

/// A model's networks, each loaded by load_network when it is first wanted.
class Networks {
 public:
  Networks(const Manifest& manifest, at::Device device, at::ScalarType precision)
      : manifest_(manifest), device_(device), precision_(precision) {}

  /// Compares the network's file with its SHA-256, unless it was and has not been written since. Throws
  /// ModelError.
  void check(const std::string& name);

  /// The network of this name, on the device; valid until it is put aside. Throws as `check` and Network do.
  Network& get(const std::string& name);

  /// Whether it is on the device.
  bool is_there(const std::string& name) const;

  /// Takes the network, if it is there, out of the device's memory: to the CPU's from another device, and on
  /// the CPU itself altogether, to be read from its file again.
  void put_aside(const std::string& name);

  /// Changes the networks, those loaded later too.
  void adapt(std::shared_ptr<const Adaptation> adaptation);

 private:
  const Manifest& manifest_;
  at::Device device_;
  at::ScalarType precision_;
  std::shared_ptr<const Adaptation> adaptation_;  ///< null: none yet
  std::map<std::string, Network> loaded_;
  std::map<std::string, FileVersion> checked_;
};

}  // namespace darkroom
