#pragma once

#include <string>
#include <vector>

#include "darkroom/diffusion/walk.h"

namespace darkroom {

/// Shortened, for messages.
std::string text_of(double number);

/// Throws UsageError beginning with `option` where the list is empty, does not descend or leaves low..high.
void check_list(const std::string& option, const std::vector<double>& list, double low, double high);

/// Throws UsageError where two steps would start at one level: a step of no length divides by zero.
void check_descent(const std::vector<double>& sigmas, const WalkOptions& options);

}  // namespace darkroom
