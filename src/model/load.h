#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "darkroom/model/manifest.h"
#include "darkroom/nn/network.h"

namespace darkroom {

/// check_hashes for one network, and for all tokenizers.
void check_hash(const Manifest& manifest, const std::string& network);
void check_tokenizers(const Manifest& manifest);

/// What the system says of a file that is another one as soon as the file is written or replaced.
using FileVersion = std::array<int64_t, 5>;

/// Throws ModelError if there is none.
FileVersion version_of(const std::filesystem::path& file);

/// The precision asked for or, where the manifest says that the network cannot run at that one, fp32.
at::ScalarType runs_at(const Manifest::Network& network, at::ScalarType precision);

/// The network of this name, at that precision.
Network load_network(const Manifest& manifest, const std::string& name, at::Device device,
                     at::ScalarType precision);

}  // namespace darkroom
