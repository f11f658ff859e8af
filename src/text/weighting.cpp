#include "darkroom/text/weighting.h"

#include <array>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

struct Row {
  std::string_view name;
  Weighting weighting;
};
constexpr std::array kRows = {Row{"none", Weighting::none}, Row{"a1111", Weighting::a1111},
                              Row{"compel", Weighting::compel}};

}  // namespace

std::vector<std::string> weighting_names() { return names_of(kRows); }

Weighting find_weighting(std::string_view name) {
  return find_row<UsageError>("weighting", name, kRows).weighting;
}

}  // namespace darkroom
