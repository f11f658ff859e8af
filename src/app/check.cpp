#include "app/check.h"

#include <cstdio>

#include "app/command_line.h"
#include "app/console.h"
#include "app/model_path.h"
#include "app/plan.h"
#include "darkroom/model/device_check.h"
#include "darkroom/nn/device.h"

namespace darkroom {

ExitCode check(const std::vector<std::string>& words) {
  const std::string model = parse_command_line(words).model;
  const Manifest manifest = read_manifest(find_model(model, model_search_path()));
  const Options options = parse_command_line(words, default_settings(manifest));
  for (const Lora& lora : options.loras) check_lora(lora.file);
  check_embeddings(options.embeddings);
  const Pipeline::Options pipeline = pipeline_options(options, manifest);
  check_settings(options, manifest, pipeline.refiner ? &*pipeline.refiner : nullptr);
  set_threads(options.threads);

  Console console(options);
  const Request request{.prompt = options.prompt.value_or(""),
                        .negative_prompt = options.negative_prompt,
                        .seed = static_cast<uint32_t>(std::max<int64_t>(options.seed, 0)),
                        .place = "prompt"};
  const DeviceDifference difference = compare_with_cpu(manifest, options, request, pipeline, console);
  const std::string device = device_name(pipeline.device), precision = precision_name(pipeline.precision);
  char figures[96];
  std::snprintf(figures, sizeof figures, "%.1e after the first step, %.1e after the last",
                difference.first_step, difference.latents);
  console.result(device + " at " + precision + " differs from the CPU at fp32 by " + figures +
                     " (relative L2, " + std::to_string(options.steps) + " steps)",
                 {{"device", device},
                  {"precision", precision},
                  {"steps", options.steps},
                  {"first_step", difference.first_step},
                  {"latents", difference.latents}});
  console.check_results();
  return ExitCode::success;
}

}  // namespace darkroom
