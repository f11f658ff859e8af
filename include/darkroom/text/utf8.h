#pragma once

#include <string>
#include <string_view>

#include "darkroom/base/diagnostics.h"

namespace darkroom {

/// `bytes` as valid UTF-8: every maximal invalid subpart (Unicode 3.9, table 3-7; what Python's
/// errors="replace" does) becomes U+FFFD. If there was one, warns once with kind "invalid_utf8", naming the
/// first byte's offset.
std::string valid_utf8(std::string_view bytes, Diagnostics& diagnostics, std::string_view place);

}  // namespace darkroom
