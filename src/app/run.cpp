#include "app/run.h"

#include <algorithm>
#include <chrono>

#include "app/allocator.h"
#include "app/command_line.h"
#include "app/numbers.h"
#include "app/plan.h"
#include "app/signals.h"
#include "app/walk_files.h"
#include "darkroom/base/file.h"
#include "darkroom/nn/device.h"

namespace darkroom {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Makes the pictures of a plan, batch by batch; each is written as soon as its batch is decoded, and none
/// that fails stops the others.
class Runner {
 public:
  Runner(Plan plan, Console& console)
      : plan_(std::move(plan)),
        console_(console),
        pipeline_(plan_.origin.manifest, plan_.pipeline, console),
        progress_(plan_.pictures(), !plan_.options.quiet) {
    console_.attach(&progress_);
  }
  ~Runner() { console_.attach(nullptr); }

  /// Whether all of them were tried: a signal may end the run early.
  bool make_pictures() {
    for (const std::vector<Job>& batch : plan_.batches) {
      if (stop_requested()) return false;
      try {
        make_batch(batch);
      } catch (const Error& error) {
        for (const Job& job : batch) fail(job, error);
      }
    }
    return true;
  }

  int64_t written() const { return written_; }
  const Evaluations& evaluations() const { return evaluations_; }
  const std::vector<Failure>& failures() const { return plan_.failures; }
  const Plan& plan() const { return plan_; }

 private:
  void make_batch(const std::vector<Job>& batch) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<Request> requests;
    for (const Job& job : batch) {
      requests.push_back({*job.options.prompt, job.options.negative_prompt,
                          static_cast<uint32_t>(job.options.seed), job.place});
      if (!job.options.init_latents.empty())
        requests.back().latents =
            read_latents(job.options.init_latents, latent_shape(pipeline_.manifest(), job.options));
    }
    progress_.begin_batch(static_cast<int64_t>(batch.size()));
    WalkState reached;
    const std::vector<Outcome> outcomes = pipeline_.generate(
        batch.front().options, requests,
        [&](int64_t step, int64_t steps, const at::Tensor& x) {
          progress_.step(step, steps);
          // The decoder takes more, in larger pieces, of which later walks then have enough.
          if (step == steps && written_ == 0) release_freed_memory();
          if (!plan_.options.trace_latents.empty()) trace(batch, step, x);
        },
        plan_.resumed ? &plan_.resumed->state : nullptr, &reached);
    if (!plan_.options.save_state.empty())
      write_walk(plan_.options.save_state, {std::move(reached), record_of(batch.front(), plan_)},
                 plan_.options.force);
    if (!plan_.options.trace_latents.empty()) trace_told(batch, outcomes);
    const double seconds = seconds_since(start) / static_cast<double>(batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      try {
        write_picture(batch[i], outcomes[i], seconds);
      } catch (const Error& error) {
        fail(batch[i], error);
      }
    }
    progress_.end_batch();
  }

  void trace(const std::vector<Job>& batch, int64_t step, const at::Tensor& x) {
    char name[32];
    std::snprintf(name, sizeof name, "step-%04lld", static_cast<long long>(step));
    const std::vector<at::Tensor> images = x.unbind(0);
    for (size_t i = 0; i < batch.size(); ++i) write_traced(batch[i], name, images[i]);
  }

  void trace_told(const std::vector<Job>& batch, const std::vector<Outcome>& outcomes) {
    for (size_t i = 0; i < batch.size(); ++i)
      for (const auto& [name, tensor] : outcomes[i].told) write_traced(batch[i], name, tensor);
  }

  void write_traced(const Job& job, const std::string& name, const at::Tensor& tensor) {
    const std::filesystem::path file =
        std::filesystem::path(plan_.options.trace_latents) / (job.file.stem().string() + "-" + name + ".npy");
    make_folder_of(file);
    write_latents(file, tensor, plan_.options.force);
  }

  void write_picture(const Job& job, const Outcome& outcome, double seconds) {
    if (!outcome.fault.empty()) throw ResultError(outcome.fault);
    const std::vector<PngText> texts =
        plan_.options.no_metadata ? std::vector<PngText>() : picture_texts(record_of(job, plan_));
    make_folder_of(job.file);
    if (plan_.options.save_latents)
      write_latents(std::filesystem::path(job.file).replace_extension(".npy"), outcome.latents,
                    plan_.options.force);
    write_file(job.file, encode_png(outcome.image, texts), plan_.options.force);
    ++written_;
    nlohmann::json object = result_of(job, false);
    object["seconds"] = seconds;
    object["evaluations"] = outcome.evaluations.made;
    object["evaluations_saved"] = outcome.evaluations.saved;
    evaluations_.made += outcome.evaluations.made;
    evaluations_.saved += outcome.evaluations.saved;
    console_.result(job.file.string(), object);
  }

  void fail(const Job& job, const Error& error) {
    const std::string picture =
        "picture " + std::to_string(job.index) + " (seed " + std::to_string(job.options.seed) + "): ";
    plan_.failures.push_back(
        {error.code(), picture + message_of(error, plan_.options.verbose), job.place, job.line});
    console_.failure(plan_.failures.back());
  }

  Plan plan_;
  Console& console_;
  Pipeline pipeline_;
  Progress progress_;
  int64_t written_ = 0;
  Evaluations evaluations_;  ///< of the pictures written
};

/// What makes the pictures that are still missing.
std::string how_to_go_on(const std::string& program, std::vector<std::string> words, const Plan& plan) {
  if (plan.options.no_metadata || plan.options.force)
    return "with --no-metadata or --force none can be skipped next time";
  const auto options_end = std::find(words.begin(), words.end(), "--");
  if (plan.seed_drawn) words.insert(options_end, {"--seed", std::to_string(plan.options.seed)});
  words.insert(words.begin(), program);
  return "this goes on:\n" + shell_line(words) +
         (plan.options.prompt == "-" ? "   (with the same standard input)" : "");
}

std::string evaluations_text(const Evaluations& evaluations) {
  std::string text = "the denoiser saw " + std::to_string(evaluations.made) + " images";
  if (evaluations.saved > 0) text += "; " + std::to_string(evaluations.saved) + " more were saved";
  return text;
}

ExitCode exit_code(const std::vector<Failure>& failures, int64_t good) {
  if (failures.empty()) return ExitCode::success;
  return good > 0 ? ExitCode::partial : failures.front().code;
}

}  // namespace

ExitCode run(const std::string& program, const std::vector<std::string>& words) {
  Plan plan = make_plan(words);
  Console console(plan.options);
  for (const Failure& failure : plan.failures) console.failure(failure);
  if (plan.batches.empty() && plan.finished.empty())
    throw UsageError(plan.options.prompt_file + ": no line can be used");
  if (plan.options.dry_run) {
    print_plan(plan, console);
    console.check_results();
    return exit_code(plan.failures, 1);
  }
  if (plan.seed_drawn) console.notice("seed " + std::to_string(plan.options.seed));
  for (const Job& job : plan.finished) console.result(job.file.string(), result_of(job, true));
  auto good = static_cast<int64_t>(plan.finished.size());
  const std::string of_all = " of " + std::to_string(plan.pictures() + good) + " pictures are there";
  if (good > 0) console.notice(std::to_string(good) + of_all + " already and are skipped");
  if (plan.batches.empty()) {
    console.check_results();
    return exit_code(plan.failures, good);
  }

  check_memory(plan);
  set_threads(plan.options.threads);
  catch_signals();  // until here nothing is lost by stopping at once
  Runner runner(std::move(plan), console);
  const bool finished = runner.make_pictures();
  good += runner.written();
  if (runner.plan().options.verbose) console.notice(evaluations_text(runner.evaluations()));
  if (!finished)
    throw InterruptedError("interrupted; " + std::to_string(good) + of_all + "; " +
                           how_to_go_on(program, words, runner.plan()));
  const ExitCode code = exit_code(runner.failures(), good);
  if (code == ExitCode::success) console.check_results();
  return code;
}

std::string message_of(const std::exception& error, bool all) {
  std::string text = error.what();
  if (!all) return text;
  try {
    std::rethrow_if_nested(error);
  } catch (const std::exception& cause) {
    text += "\n" + message_of(cause, all);
  }
  return text;
}

}  // namespace darkroom
