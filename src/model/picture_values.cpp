#include "model/picture_values.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {
namespace {

double or_else(int64_t given, int64_t otherwise) {
  return static_cast<double>(given > 0 ? given : otherwise);
}

struct Row {
  std::string_view name;
  double (*of)(const Settings&, bool negative);
  bool (*given)(const Settings&, const Manifest::Defaults&);
};

constexpr std::array kRows = {
    Row{"original_height", [](const Settings& s, bool) { return or_else(s.original_height, s.height); },
        [](const Settings& s, const Manifest::Defaults&) { return s.original_height > 0; }},
    Row{"original_width", [](const Settings& s, bool) { return or_else(s.original_width, s.width); },
        [](const Settings& s, const Manifest::Defaults&) { return s.original_width > 0; }},
    Row{"crop_top", [](const Settings& s, bool) { return static_cast<double>(s.crop_top); },
        [](const Settings& s, const Manifest::Defaults&) { return s.crop_top > 0; }},
    Row{"crop_left", [](const Settings& s, bool) { return static_cast<double>(s.crop_left); },
        [](const Settings& s, const Manifest::Defaults&) { return s.crop_left > 0; }},
    Row{"target_height", [](const Settings& s, bool) { return or_else(s.target_height, s.height); },
        [](const Settings& s, const Manifest::Defaults&) { return s.target_height > 0; }},
    Row{"target_width", [](const Settings& s, bool) { return or_else(s.target_width, s.width); },
        [](const Settings& s, const Manifest::Defaults&) { return s.target_width > 0; }},
    Row{"aesthetic_score",
        [](const Settings& s, bool negative) {
          return negative ? s.negative_aesthetic_score : s.aesthetic_score;
        },
        [](const Settings& s, const Manifest::Defaults& d) {
          return s.aesthetic_score != d.aesthetic_score ||
                 s.negative_aesthetic_score != d.negative_aesthetic_score;
        }},
    // diffusers' LatentConsistencyModelPipeline: the scale less the 1 that is no guidance.
    Row{"guidance_weight", [](const Settings& s, bool) { return s.cfg_scale - 1; },
        [](const Settings&, const Manifest::Defaults&) { return false; }}};

bool is_told(const Manifest& manifest, std::string_view name) {
  return std::ranges::any_of(manifest.conditioning, [&](const Manifest::Conditioning& conditioning) {
    return std::ranges::find(conditioning.values, name) != conditioning.values.end();
  });
}

}  // namespace

std::vector<std::string> picture_value_names() { return names_of(kRows); }

at::Tensor picture_values(const std::vector<std::string>& names, const Settings& settings, bool negative) {
  std::vector<double> numbers;
  for (const std::string& name : names)
    numbers.push_back(find_row<ModelError>("value", name, kRows).of(settings, negative));
  return at::tensor(numbers, at::kFloat).unsqueeze(0);
}

bool embeds_guidance(const Manifest& manifest) { return is_told(manifest, "guidance_weight"); }

void check_picture_values(const Settings& settings, const Manifest& manifest, const Manifest* refiner) {
  for (const Row& row : kRows) {
    if (!row.given(settings, manifest.defaults) || is_told(manifest, row.name)) continue;
    if (refiner && is_told(*refiner, row.name)) continue;
    std::string option(row.name);
    std::ranges::replace(option, '_', '-');
    throw UsageError("--" + option + " has no effect on this model, which is not told about it");
  }
}

}  // namespace darkroom
