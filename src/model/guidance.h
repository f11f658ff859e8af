#pragma once

#include "darkroom/diffusion/guidance.h"
#include "darkroom/model/pipeline.h"

namespace darkroom {

/// Whether anything but the prompt is asked about.
bool is_guided(const Settings& settings);

/// How many images the networks see for one picture in a guided call.
int64_t guided_branches(const Settings& settings, size_t prompts);

/// Throws UsageError for options of guidance that make no sense together, with the reason.
void check_guidance(const Settings& settings, const Manifest::Stage& stage);

/// The guidance that the settings ask for, over this walk. To be made anew for each walk.
Denoise guidance_of(const Settings& settings, const Manifest::Stage& stage, const Walk& walk,
                    BranchedDenoiser denoiser);

}  // namespace darkroom
