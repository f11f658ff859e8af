#pragma once

#include <optional>
#include <string_view>

namespace darkroom {

/// A weight as people write it behind a colon: digits with at most one point and one sign; no exponent, no
/// "inf", no space.
std::optional<double> parse_weight(std::string_view text);

}  // namespace darkroom
