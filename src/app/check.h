#pragma once

#include <string>
#include <vector>

#include "darkroom/base/error.h"

namespace darkroom {

/// `darkroom check [PROMPT] [options]`: walks one picture on the CPU at fp32 and on the device and precision
/// asked for, and prints how far apart the latents are.
ExitCode check(const std::vector<std::string>& words);

}  // namespace darkroom
