#pragma once

#include <vector>

#include "darkroom/base/diagnostics.h"

namespace darkroom::testing {

/// Keeps the warnings it is sent.
class Collected : public Diagnostics {
 public:
  void warn(const Warning& warning) override { warnings.push_back(warning); }
  std::vector<Warning> warnings;
};

}  // namespace darkroom::testing
