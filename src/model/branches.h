#pragma once

#include <vector>

#include "darkroom/diffusion/guidance.h"
#include "darkroom/model/pipeline.h"
#include "darkroom/nn/network.h"

namespace darkroom {

/// Inputs of images below each other, by role: (images, ...).
Tensors stack(const std::vector<Tensors>& images);

/// What the branches feed the denoiser with, (images, ...) each. One that no guidance asks about is empty.
struct BranchInputs {
  Tensors negative, empty;
  std::vector<Tensors> prompts = {};

  const Tensors& of(const Branch& branch) const {
    if (branch.conditioning == Branch::Conditioning::prompt) return prompts.at(branch.prompt);
    return branch.conditioning == Branch::Conditioning::negative ? negative : empty;
  }
};

/// One call for the branches of each network, counted in `evaluations`. `weaker` may be null where no branch
/// asks it. Networks and count must outlive the result.
Branches branches_of(Network& denoiser, Network* weaker, BranchInputs inputs, Evaluations& evaluations);

/// Counts as saved what `denoise` would have cost at `full` evaluations a call, less what it did.
Denoise count_saved(Denoise denoise, int64_t full, Evaluations& evaluations);

}  // namespace darkroom
