#include "model/load.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/cause.h"
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

void check_hashes(const Manifest& manifest) {
  for (const auto& [name, network] : manifest.networks) check_hash(manifest, name);
  check_tokenizers(manifest);
}

void check_tokenizers(const Manifest& manifest) {
  for (const auto& [name, tokenizer] : manifest.tokenizers)
    check_hash(manifest.folder / tokenizer.file, tokenizer.sha256);
}

void check_hash(const Manifest& manifest, const std::string& network) {
  const Manifest::Network& described = manifest.networks.at(network);
  check_hash(manifest.folder / described.file, described.sha256);
}

FileVersion version_of(const std::filesystem::path& file) {
  struct stat is {};
  if (stat(file.c_str(), &is) != 0) throw_cannot<ModelError>("read", file, errno);
  return {static_cast<int64_t>(is.st_dev), static_cast<int64_t>(is.st_ino), is.st_size, is.st_ctim.tv_sec,
          is.st_ctim.tv_nsec};
}

at::ScalarType runs_at(const Manifest::Network& network, at::ScalarType precision) {
  const bool listed =
      network.precisions.empty() || std::ranges::count(network.precisions, precision_name(precision)) > 0;
  return listed ? precision : at::kFloat;
}

Network load_network(const Manifest& manifest, const std::string& name, at::Device device,
                     at::ScalarType precision) {
  const Manifest::Network& network = manifest.networks.at(name);
  return Network({name, manifest.folder / network.file, network.inputs, network.outputs}, device,
                 runs_at(network, precision));
}

}  // namespace darkroom
