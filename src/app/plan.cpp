#include "app/plan.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <random>

#include "app/command_line.h"
#include "app/memory.h"
#include "app/model_path.h"
#include "app/numbers.h"
#include "darkroom/base/file.h"
#include "darkroom/data/safetensors.h"
#include "darkroom/nn/device.h"
#include "model/load.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

/// All of standard input but the line end it closes with.
std::string read_standard_input() {
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

void check_prompt_source(const Options& options) {
  const bool file = !options.prompt_file.empty();
  if (options.prompt && file) throw UsageError("give a prompt or --prompt-file, not both");
  if (!options.prompt && !file) throw UsageError("no prompt (see 'darkroom --help')");
}

std::vector<Prompt> read_prompts(const Options& options) {
  if (!options.prompt_file.empty()) return read_prompt_file(options.prompt_file, options);
  Prompt prompt{options, "prompt", 0, nlohmann::json::object(), {}};
  if (options.prompt == "-") prompt.options.prompt = read_standard_input();
  return {prompt};
}

Origin origin_of(Manifest manifest, const Pipeline::Options& pipeline, const std::vector<Job>& jobs) {
  Origin origin{std::move(manifest),
                {},
                precision_name(pipeline.precision),
                device_name(pipeline.device),
                pipeline.weaker,
                pipeline.refiner};
  origin.manifest_sha256 = sha256_of_file(origin.manifest.folder / "model.json");
  if (origin.refiner) origin.refiner_manifest_sha256 = sha256_of_file(origin.refiner->folder / "model.json");
  for (const Job& job : jobs) {
    for (const Lora& lora : job.options.loras)
      if (!origin.loras.contains(lora.file))
        origin.loras[lora.file] = {sha256_of_file(lora.file), sha256(Safetensors(lora.file).data())};
    for (const Embedding& embedding : job.options.embeddings)
      if (!origin.embeddings.contains(embedding.file))
        origin.embeddings[embedding.file] = sha256_of_file(embedding.file);
  }
  return origin;
}

/// Moves the jobs whose pictures are there already to plan.finished. Throws OutputError for a file that is
/// there and is another picture.
std::vector<Job> without_finished(std::vector<Job> jobs, Plan& plan) {
  if (plan.options.force) return jobs;
  std::vector<Job> rest;
  for (Job& job : jobs) {
    std::error_code error;
    if (!fs::exists(fs::symlink_status(job.file, error))) {
      rest.push_back(std::move(job));
      continue;
    }
    if (plan.options.no_metadata)
      throw OutputError(
          "'" + job.file.string() +
          "' exists already, and --no-metadata leaves no way to tell whether it is this picture "
          "(--force overwrites)");
    const std::string unlike =
        difference(recorded_in(job.file), record_of(job, plan), plan.options.precision == "auto");
    if (!unlike.empty())
      throw OutputError("'" + job.file.string() + "' exists already, and " + unlike +
                        " (--force overwrites)");
    plan.finished.push_back(std::move(job));
  }
  return rest;
}

void check_one_walk(const Plan& plan) {
  if (plan.pictures() > 1)
    throw UsageError("--save-state and --load-state are for one picture; this run makes " +
                     std::to_string(plan.pictures()));
  if (plan.refiner())
    throw UsageError("--save-state and --load-state are for one model, not for a --refiner");
  if (plan.options.apg_momentum != 0)
    throw UsageError("--apg-momentum remembers more than --save-state and --load-state hold");
}

/// The walk to go on with. Throws UsageError if it is another picture's.
SavedWalk resumed_walk(const Plan& plan, const Job& job) {
  SavedWalk walk = read_walk(plan.options.load_state);
  const nlohmann::json wanted = record_of(job, plan);
  for (const char* part : {"start_step", "end_step", "init_latents"}) walk.record[part] = wanted[part];
  const std::string unlike = difference(walk.record, wanted, plan.options.precision == "auto");
  if (!unlike.empty()) throw UsageError("'" + plan.options.load_state + "' is of another picture: " + unlike);
  return walk;
}

void settle_walk_files(Plan& plan) {
  const Options& options = plan.options;
  if (options.save_state.empty() && options.load_state.empty()) return;
  check_one_walk(plan);
  if (plan.batches.empty()) return;
  if (!options.load_state.empty()) plan.resumed = resumed_walk(plan, plan.batches.front().front());
  if (!options.save_state.empty() && !options.force && fs::exists(options.save_state))
    throw OutputError("'" + options.save_state + "' exists already (--force overwrites)");
}

MemoryEstimate largest_estimate(const Plan& plan) {
  MemoryEstimate largest;
  const Settings* last = nullptr;
  for (const std::vector<Job>& batch : plan.batches) {
    const Options& options = batch.front().options;
    // Only the first batch of equal settings can be the largest of them, if all have one prompt.
    if (last && *last == options && !options.compose) continue;
    last = &options;
    const MemoryEstimate estimate =
        estimate_memory(plan.origin.manifest, options, static_cast<int64_t>(batch.size()), plan.pipeline,
                        prompts_in(*options.prompt, options).size());
    if (estimate.total() > largest.total()) largest = estimate;
  }
  return largest;
}

std::string memory_text(const MemoryEstimate& memory) {
  return bytes_text(memory.total()) + " (weights " + bytes_text(memory.weights) + ", activations " +
         bytes_text(memory.activations) + ", libtorch " + bytes_text(memory.runtime) + ")";
}

/// What was asked for, which the denoiser at least must run at; the other networks fall back to fp32 each.
at::ScalarType precision_of(const Options& options, at::Device device, const Manifest& manifest) {
  const at::ScalarType precision = find_precision(options.precision, device);
  const Manifest::Network& denoiser = manifest.networks.at(manifest.stages.front().denoiser);
  if (runs_at(denoiser, precision) == precision) return precision;
  if (options.precision == "auto") return at::kFloat;
  std::string known;
  for (const std::string& other : denoiser.precisions) known += (known.empty() ? "" : ", ") + other;
  throw UsageError("precision '" + options.precision + "': the denoiser of '" + manifest.name +
                   "' does not run at it (allowed: " + known + ")");
}

}  // namespace

int64_t Plan::pictures() const {
  int64_t count = 0;
  for (const std::vector<Job>& batch : batches) count += static_cast<int64_t>(batch.size());
  return count;
}

Pipeline::Options pipeline_options(const Options& options, const Manifest& manifest) {
  Pipeline::Options pipeline;
  pipeline.device = find_device(options.device);
  pipeline.precision = precision_of(options, pipeline.device, manifest);
  pipeline.offload = find_offload(options.offload);
  pipeline.vae_slicing = options.vae_slicing;
  if (options.autoguided) {
    pipeline.weaker = read_manifest(find_model(options.autoguidance, model_search_path()));
    check_weaker(manifest, *pipeline.weaker);
  }
  if (!options.refiner.empty()) {
    pipeline.refiner = read_manifest(find_model(options.refiner, model_search_path()));
    check_refiner(manifest, *pipeline.refiner);
  }
  return pipeline;
}

Plan make_plan(const std::vector<std::string>& words) {
  Plan plan;
  plan.options = parse_command_line(words);
  check_prompt_source(plan.options);
  Manifest manifest = read_manifest(find_model(plan.options.model, model_search_path()));
  plan.options = parse_command_line(words, default_settings(manifest));
  Options& options = plan.options;

  const std::vector<Prompt> prompts = read_prompts(options);
  if (options.seed < 0) {
    plan.seed_drawn = true;
    options.seed = std::random_device()();
  }
  const Output output = find_output(options);
  plan.pipeline = pipeline_options(options, manifest);
  Jobs made = make_jobs(prompts, static_cast<uint32_t>(options.seed), manifest, plan.refiner(), output);
  plan.failures = std::move(made.failures);
  if (made.jobs.empty() && options.prompt_file.empty())
    throw Error(plan.failures.front().code, plan.failures.front().message);

  plan.origin = origin_of(std::move(manifest), plan.pipeline, made.jobs);
  plan.batches = make_batches(without_finished(std::move(made.jobs), plan), options.batch_size);
  plan.memory = largest_estimate(plan);
  settle_walk_files(plan);
  if (!plan.batches.empty()) check_writable(output.folder);
  return plan;
}

nlohmann::json record_of(const Job& job, const Plan& plan) {
  return picture_record(job.options, plan.origin, job.extras);
}

nlohmann::json result_of(const Job& job, bool skipped) {
  nlohmann::json object = picture_options(job.options);
  object.update({{"index", job.index}, {"path", job.file.string()}, {"skipped", skipped}});
  if (job.line > 0) object["line"] = job.line;
  if (!job.extras.empty()) object["extras"] = job.extras;
  return object;
}

void print_plan(const Plan& plan, Console& console) {
  for (const Job& job : plan.finished) console.result("skip    " + job.file.string(), result_of(job, true));
  for (const std::vector<Job>& batch : plan.batches)
    for (const Job& job : batch) console.result("write   " + job.file.string(), result_of(job, false));
  const Manifest& manifest = plan.origin.manifest;
  const int64_t available = available_memory(), pictures = plan.pictures();
  const auto finished = static_cast<int64_t>(plan.finished.size());
  std::string text = "model   " + manifest.name + " (" + manifest.folder.string() + ")\n";
  text += "device  " + plan.origin.device + ", " + plan.origin.precision + "\n";
  text += "make    " + std::to_string(pictures) + " of " + std::to_string(pictures + finished) +
          " pictures, in " + std::to_string(plan.batches.size()) +
          (plan.batches.size() == 1 ? " batch\n" : " batches\n");
  text += "memory  " + memory_text(plan.memory) + ", " + bytes_text(available) + " available";
  console.result(text, {{"model", manifest.name},
                        {"device", plan.origin.device},
                        {"precision", plan.origin.precision},
                        {"to_make", pictures},
                        {"to_skip", finished},
                        {"batches", plan.batches.size()},
                        {"memory_needed", plan.memory.total()},
                        {"memory_available", available}});
}

void check_memory(const Plan& plan) {
  const int64_t available = available_memory();
  if (plan.pipeline.device.is_cpu() && plan.memory.total() > available)
    throw ResourceError("needs about " + memory_text(plan.memory) + ", and " + bytes_text(available) +
                        " of memory are available; smaller pictures or a smaller --batch-size need less");
}

}  // namespace darkroom
