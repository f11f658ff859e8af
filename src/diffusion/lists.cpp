#include "diffusion/lists.h"

#include <sstream>

#include "darkroom/base/error.h"

namespace darkroom {

std::string text_of(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

void check_list(const std::string& option, const std::vector<double>& list, double low, double high) {
  if (list.empty()) throw UsageError("this schedule needs a list: " + option);
  for (const double value : list)
    if (!(value >= low && value <= high))
      throw UsageError(option + ": " + text_of(value) + " is out of range (allowed: " + text_of(low) +
                       " to " + text_of(high) + ")");
  for (size_t i = 1; i < list.size(); ++i)
    if (list[i] >= list[i - 1])
      throw UsageError(option + ": " + text_of(list[i]) + " does not descend from " + text_of(list[i - 1]));
}

void check_descent(const std::vector<double>& sigmas, const WalkOptions& options) {
  for (size_t i = 1; i < sigmas.size(); ++i)
    if (!(sigmas[i] < sigmas[i - 1]))
      throw UsageError("the schedule '" + std::string(options.spacing->name) + "' of " +
                       std::to_string(options.steps) + " steps does not descend from " +
                       text_of(sigmas[i - 1]) + " to " + text_of(sigmas[i]) +
                       "; use fewer steps or another schedule");
}

}  // namespace darkroom
