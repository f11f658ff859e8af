#pragma once

#include <vector>

#include "darkroom/diffusion/guidance.h"
#include "darkroom/model/pipeline.h"
#include "darkroom/nn/network.h"

namespace darkroom {

/// What the branches feed the denoiser with, image by image, (1, ...) each. One that no guidance asks about
/// is empty.
struct BranchInputs {
  std::vector<Tensors> negative, empty;
  std::vector<std::vector<Tensors>> prompts = {};

  const std::vector<Tensors>& of(const Branch& branch) const {
    if (branch.conditioning == Branch::Conditioning::prompt) return prompts.at(branch.prompt);
    return branch.conditioning == Branch::Conditioning::negative ? negative : empty;
  }
};

/// One call for the branches of each network, if all conditionings have one length, counted in `evaluations`.
/// `weaker` may be null where no branch asks it. Networks and count must outlive the result.
Branches branches_of(Network& denoiser, Network* weaker, BranchInputs inputs, Evaluations& evaluations);

/// Counts as saved what `denoise` would have cost at `full` evaluations a call, less what it did.
Denoise count_saved(Denoise denoise, int64_t full, Evaluations& evaluations);

}  // namespace darkroom
