#include "model/schedule_reader.h"

#include <algorithm>
#include <functional>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

FlowSpec read_flow(JsonReader& reader) {
  FlowSpec flow;
  if (reader.has("shift")) flow.shift = reader.positive("shift");
  if (reader.has("shift_terminal")) flow.terminal = reader.positive("shift_terminal");
  if (flow.terminal && *flow.terminal >= 1) reader.fail("shift_terminal", "is not under 1");
  if (!reader.has("dynamic")) return flow;
  JsonReader keys = reader.object("dynamic");
  FlowSpec::Dynamic dynamic;
  dynamic.exponential = keys.one_of("kind", {"exponential", "linear"}) == "exponential";
  if (keys.has("base_shift")) dynamic.base_shift = keys.positive("base_shift");
  if (keys.has("max_shift")) dynamic.max_shift = keys.positive("max_shift");
  if (keys.has("base_length")) dynamic.base_length = keys.positive("base_length");
  if (keys.has("max_length")) dynamic.max_length = keys.positive("max_length");
  if (keys.has("patch")) dynamic.patch = keys.integer("patch", 1, 1024);
  if (dynamic.max_length <= dynamic.base_length) keys.fail("max_length", "is not over base_length");
  keys.finish();
  flow.dynamic = dynamic;
  return flow;
}

// The levels, or timesteps to which the lowest trained level is added.
std::vector<double> aligned_levels(JsonReader reader, const ScheduleSpec& spec) {
  const bool timesteps = reader.has("timesteps");
  std::vector<double> levels = reader.numbers(timesteps ? "timesteps" : "sigmas");
  if (timesteps) {
    const NoiseSchedule schedule(spec);
    for (double& level : levels) level = schedule.sigma_at(level, Interpolation::linear);
    levels.push_back(schedule.sigmas().front());
  }
  if (levels.size() < 2 || levels.back() <= 0 ||
      std::ranges::adjacent_find(levels, std::less_equal()) != levels.end())
    reader.fail(timesteps ? "timesteps" : "sigmas", "does not descend, or reaches 0");
  reader.finish();
  return levels;
}

}  // namespace

void read_schedule(JsonReader reader, Manifest::Stage& stage) {
  ScheduleSpec& schedule = stage.schedule;
  std::vector<std::string> kinds = schedule_kinds();
  kinds.push_back("flow");
  schedule.kind = reader.one_of("kind", kinds);
  if (schedule.kind == "flow") {
    stage.flow = read_flow(reader);
    if (reader.has("steps")) schedule.steps = reader.integer("steps", 1, 1'000'000);
    reader.finish();
    return;
  }
  if (reader.has("beta_start")) schedule.beta_start = reader.number("beta_start");
  if (reader.has("beta_end")) schedule.beta_end = reader.number("beta_end");
  if (reader.has("steps")) schedule.steps = reader.integer("steps", 1, 1'000'000);
  if (reader.has("betas")) schedule.betas = reader.numbers("betas");
  if (reader.has("zero_terminal_snr")) schedule.zero_terminal_snr = reader.boolean("zero_terminal_snr");
  reader.finish();
  try {
    NoiseSchedule{schedule};
  } catch (const ModelError& error) {
    reader.fail("kind", std::string("makes no schedule: ") + error.what());
  }
}

void read_align_your_steps(JsonReader reader, Manifest::Stage& stage) {
  stage.align_your_steps = aligned_levels(std::move(reader), stage.schedule);
}

}  // namespace darkroom
