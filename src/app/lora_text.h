#pragma once

#include <string>
#include <string_view>

#include "darkroom/model/lora.h"

namespace darkroom {

/// "FILE" or "FILE:WEIGHT": the weight is what follows the last colon, if that is a number. Throws UsageError
/// for a weight out of range, or something else behind the name of a file that is there; `what` names the
/// option and its place.
Lora parse_lora(std::string_view what, const std::string& text);

/// "FILE:WEIGHT", which reads back as the same.
std::string lora_text(const Lora& lora);

}  // namespace darkroom
