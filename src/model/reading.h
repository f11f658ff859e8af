#pragma once

#include <cstdint>
#include <string_view>

#include "darkroom/model/pipeline.h"
#include "darkroom/text/weighting.h"

namespace darkroom {

/// How the text of a prompt is read, besides what the model says.
struct Reading {
  Weighting weighting = Weighting::none;
  bool chunks = false;    ///< whether a long prompt is read in several windows of the text encoder
  int64_t clip_skip = 0;  ///< layers left out
  bool operator==(const Reading&) const = default;
};

/// Of the prompt; a negative prompt skips no layer, as in diffusers.
Reading reading_of(const Settings& settings);

/// The parts of a prompt (valid UTF-8) that share a weight. Throws UsageError for syntax that is not known.
std::vector<WeightedPrompt> parts_of(const std::string& text, Weighting weighting);

/// Outputs of a text encoder: the state that is read where no layer is left out, (1, tokens, channels), and
/// the states with 0, 1, ... layers left out, (1, states, tokens, channels).
inline constexpr std::string_view kHidden = "hidden", kLayers = "layers";

/// Throws UsageError, saying why, if the model's text encoders cannot read prompts as the settings ask.
void check_reading(const Settings& settings, const Manifest& manifest);

}  // namespace darkroom
