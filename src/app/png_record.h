#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/options.h"
#include "darkroom/image/png.h"

namespace darkroom {

/// SHA-256 of a LoRA file, and of its tensors without the header: by that one other programs know it.
struct LoraHashes {
  std::string file, tensors;
};

/// What a picture depends on besides its options.
struct Origin {
  Manifest manifest;
  std::string manifest_sha256;           ///< of model.json
  std::string precision;                 ///< "fp32"
  std::string device;                    ///< "cpu"
  std::optional<Manifest> weaker = {};   ///< whose denoiser autoguidance asks
  std::optional<Manifest> refiner = {};  ///< that makes the last steps
  std::string refiner_manifest_sha256 = {};
  std::map<std::filesystem::path, LoraHashes> loras = {};        ///< of all that a picture of the run uses
  std::map<std::filesystem::path, std::string> embeddings = {};  ///< likewise: SHA-256 of the file
};

/// The options that decide a picture, by key.
nlohmann::json picture_options(const Options& options);

/// Everything needed to make a picture again: version, model and hashes, precision, and
/// picture_options. `extras` are the keys of its prompt file's line that are no options.
nlohmann::json picture_record(const Options& options, const Origin& origin, const nlohmann::json& extras);

/// Why `recorded` is another picture than `wanted`: "seed: 5 there, 7 asked for". Empty: it is the same. The
/// version, the device, the model's name and the extras may differ, and the precision too if `any_precision`.
std::string difference(const nlohmann::json& recorded, const nlohmann::json& wanted, bool any_precision);

/// The text chunks of a picture: the `parameters` that other programs read, the record under `darkroom`, and
/// XMP.
std::vector<PngText> picture_texts(const nlohmann::json& record);

/// The record in a PNG file; null if it has none, or is no PNG file.
nlohmann::json recorded_in(const std::filesystem::path& file);

}  // namespace darkroom
