#pragma once

#include <string>
#include <vector>

#include "app/console.h"
#include "app/jobs.h"
#include "app/png_record.h"
#include "app/walk_files.h"

namespace darkroom {

/// All that is settled before a network is loaded.
struct Plan {
  Options options;
  Origin origin;
  Pipeline::Options pipeline;
  bool seed_drawn = false;  ///< options.seed was drawn at random
  std::vector<Job> finished;
  std::vector<std::vector<Job>> batches;
  std::vector<Failure> failures;
  MemoryEstimate memory;  ///< of the largest batch
  std::optional<SavedWalk> resumed;

  int64_t pictures() const;  ///< in the batches

  /// Null: there is none.
  const Manifest* refiner() const { return pipeline.refiner ? &*pipeline.refiner : nullptr; }
};

/// Reads the command line, the model's manifest and the prompts, and checks everything that can be checked
/// before work starts. Throws UsageError, ModelError, or OutputError for a file that is there already and is
/// not the picture asked for.
Plan make_plan(const std::vector<std::string>& words);

/// The record of one of the plan's pictures, for its PNG file.
nlohmann::json record_of(const Job& job, const Plan& plan);

/// What --json says of a picture.
nlohmann::json result_of(const Job& job, bool skipped);

/// Prints the plan as results.
void print_plan(const Plan& plan, Console& console);

/// Where and how the options run a model, and the weaker model they name. Throws UsageError or ModelError.
Pipeline::Options pipeline_options(const Options& options, const Manifest& manifest);

/// Throws ResourceError if the plan needs more memory than there is.
void check_memory(const Plan& plan);

}  // namespace darkroom
