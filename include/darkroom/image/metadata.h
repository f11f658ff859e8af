#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace darkroom {

/// The `parameters` text of stable-diffusion-webui (modules/infotext_utils.py), which Civitai and many
/// viewers read: the prompt, "Negative prompt: ..." if there is one, and a last line "Steps: 20, Sampler:
/// DDIM, ...". Values with a comma, colon or newline are written as JSON strings. Readers want at least three
/// pairs, "Steps" the first: anything else throws BugError.
std::string a1111_parameters(std::string_view prompt, std::string_view negative_prompt,
                             const std::vector<std::pair<std::string, std::string>>& pairs);

/// An XMP packet for the PNG keyword "XML:com.adobe.xmp" that says: made by a trained model (IPTC Digital
/// Source Type trainedAlgorithmicMedia), by darkroom of this version.
std::string xmp_packet(std::string_view version);

}  // namespace darkroom
