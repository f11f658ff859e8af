#include "model/load.h"

#include <algorithm>

#include "darkroom/base/error.h"
#include "darkroom/base/file.h"
#include "darkroom/nn/device.h"

namespace darkroom {
namespace {

void check_hash(const std::filesystem::path& file, const std::string& expected) {
  const std::string actual = sha256_of_file(file);
  if (actual != expected)
    throw ModelError(file.string() + ": is damaged or not the file model.json describes: its SHA-256 is " +
                     actual + ", not " + expected);
}

}  // namespace

std::vector<std::string> Manifest::text_encoders() const {
  std::vector<std::string> names;
  for (const Conditioning& part : conditioning)
    for (const std::string& source : part.from) {
      const std::string network = source.substr(0, source.find('.'));
      if (!std::ranges::count(names, network)) names.push_back(network);
    }
  return names;
}

void check_hashes(const Manifest& manifest) {
  for (const auto& [name, network] : manifest.networks) check_hash(manifest, name);
  for (const auto& [name, tokenizer] : manifest.tokenizers)
    check_hash(manifest.folder / tokenizer.file, tokenizer.sha256);
}

void check_hash(const Manifest& manifest, const std::string& network) {
  const Manifest::Network& described = manifest.networks.at(network);
  check_hash(manifest.folder / described.file, described.sha256);
}

bool may_run_at(const Manifest::Network& network, at::ScalarType precision) {
  return network.precisions.empty() || std::ranges::count(network.precisions, precision_name(precision)) > 0;
}

Network load_network(const Manifest& manifest, const std::string& name, at::Device device,
                     at::ScalarType precision) {
  const Manifest::Network& network = manifest.networks.at(name);
  return Network({name, manifest.folder / network.file, network.inputs, network.outputs}, device,
                 may_run_at(network, precision) ? precision : at::kFloat);
}

}  // namespace darkroom
