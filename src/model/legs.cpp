#include "model/legs.h"

#include <algorithm>
#include <cmath>

#include "darkroom/base/error.h"
#include "model/picture_values.h"
#include "model/settings.h"

namespace darkroom {
namespace {

// How many of the walk's steps start at or above the timestep.
size_t steps_from(const Walk& walk, double timestep) {
  const auto below =
      std::ranges::find_if(walk.steps, [&](const Step& s) { return s.at.timestep < timestep; });
  return static_cast<size_t>(below - walk.steps.begin());
}

}  // namespace

std::vector<Leg> legs_of(const Settings& settings, const Manifest::Stage& base,
                         const Manifest::Stage* refiner) {
  Walk whole = walk_of(settings, base);
  const size_t steps = whole.steps.size();
  if (!refiner) {
    const size_t end = settings.end_step > 0 ? static_cast<size_t>(settings.end_step) : steps;
    return {{std::move(whole), static_cast<size_t>(settings.start_step), end}};
  }
  const auto trained = static_cast<double>(base.schedule.steps);
  const double hand_over = std::nearbyint(trained - settings.refiner_start * trained);  // half to even
  const size_t kept = steps_from(whole, hand_over);
  Walk rest = walk_of(settings, *refiner);
  const size_t first = steps_from(rest, hand_over), last = rest.steps.size();
  const auto refuse = [&](const char* to) {
    throw UsageError("--refiner-start leaves none of the " + std::to_string(steps) + " steps to " + to);
  };
  if (kept == 0) refuse("the model");
  if (first == last) refuse("the refiner");
  return {{std::move(whole), 0, kept}, {std::move(rest), first, last}};
}

void check_refiner(const Manifest& manifest, const Manifest& refiner) {
  const Manifest::Stage &stage = manifest.stages.front(), &other = refiner.stages.front();
  const auto need = [&](bool same, const char* what) {
    if (!same)
      throw UsageError("--refiner: '" + refiner.name + "' does not fit '" + manifest.name + "': " + what);
  };
  const Manifest::Output &output = manifest.output, &others = refiner.output;
  need(other.state == stage.state && others.factor == output.factor && others.scale == output.scale &&
           others.shift == output.shift,
       "its latents are others");
  need(same_levels(other, stage), "it was trained on another noise schedule");
  need(other.variance == stage.variance, "it predicts another variance");
  need(embeds_guidance(refiner) == embeds_guidance(manifest), "only one of them is told the guidance scale");
}

}  // namespace darkroom
