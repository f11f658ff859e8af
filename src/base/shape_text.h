#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace darkroom {

/// "[2, 4, 8, 8]".
std::string shape_text(std::span<const int64_t> shape);

}  // namespace darkroom
