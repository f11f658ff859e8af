#pragma once

#include <string>

#include "darkroom/model/manifest.h"
#include "darkroom/nn/network.h"

namespace darkroom {

/// check_hashes for one network.
void check_hash(const Manifest& manifest, const std::string& network);

/// As the manifest says it.
bool may_run_at(const Manifest::Network& network, at::ScalarType precision);

/// The network of this name at the precision asked for or, where the manifest says it cannot run at that one,
/// at fp32.
Network load_network(const Manifest& manifest, const std::string& name, at::Device device,
                     at::ScalarType precision);

}  // namespace darkroom
