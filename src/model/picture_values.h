#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "darkroom/model/pipeline.h"

namespace darkroom {

/// Names of the numbers about a picture that a denoiser may be told (Podell et al. 2307.01952, section 2.2:
/// sizes, crop and aesthetic score; Meng et al. 2210.03142: guidance weight).
std::vector<std::string> picture_value_names();

/// The numbers named, (1, names) float32, as the picture or the negative prompt is told them.
at::Tensor picture_values(const std::vector<std::string>& names, const Settings& settings, bool negative);

/// Whether the denoiser takes the guidance scale itself, so that there is nothing to guide.
bool embeds_guidance(const Manifest& manifest);

/// Throws UsageError for a number that was given but that neither the model nor its refiner, if any, is told.
void check_picture_values(const Settings& settings, const Manifest& manifest, const Manifest* refiner);

}  // namespace darkroom
