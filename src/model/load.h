#pragma once

#include <string>

#include "darkroom/model/manifest.h"
#include "darkroom/nn/network.h"

namespace darkroom {

/// Compares every file the manifest names with its SHA-256. Loading TorchScript runs code from the file, so
/// this comes first. Throws ModelError naming the file and both hashes.
void check_hashes(const Manifest& manifest);

/// The same for one network.
void check_hash(const Manifest& manifest, const std::string& network);

/// The network of this name at the precision asked for or, where the manifest says it cannot run at that one,
/// at fp32.
Network load_network(const Manifest& manifest, const std::string& name, at::Device device,
                     at::ScalarType precision);

}  // namespace darkroom
