#pragma once

#include <vector>

#include "model/branches.h"
#include "model/conditioner.h"

namespace darkroom {

/// What the requests' prompts, and numbers about their pictures, feed the denoiser with. An image's tensors
/// do not depend on its neighbours.
BranchInputs encode_prompts(Conditioner& conditioner, const Manifest& manifest, const Settings& settings,
                            const std::vector<Request>& requests);

}  // namespace darkroom
