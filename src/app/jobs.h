#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/output.h"
#include "app/prompt_file.h"
#include "darkroom/base/error.h"

namespace darkroom {

/// One picture to make.
struct Job {
  int64_t index = 0;  ///< from 0, in the order of the prompts; lines that cannot be used count too
  Options options;    ///< complete: the model's defaults in place, the seed drawn
  std::string place;  ///< as in Prompt, and the next two
  size_t line = 0;
  nlohmann::json extras;
  std::filesystem::path file;
};

/// Something asked for that will not be made.
struct Failure {
  ExitCode code;
  std::string message;
  std::string place;
  size_t line = 0;
};

struct Jobs {
  std::vector<Job> jobs;
  std::vector<Failure> failures;
};

/// The pictures of the prompts. Picture k of a prompt has its prompt's seed + k, modulo 2^32; a prompt
/// without a seed has `run_seed`. A prompt that the model cannot make, or whose LoRA or embedding cannot be
/// used, is a failure. Throws UsageError if two pictures would have the same file name.
Jobs make_jobs(const std::vector<Prompt>& prompts, uint32_t run_seed, const Manifest& manifest,
               const Manifest* refiner, const Output& output);

/// Jobs that may be walked together: equal settings, prompts composed with equal weights, at most
/// `batch_size`, in the order of the jobs. Samplers that choose their steps by the error they see have one
/// job a batch: a neighbour would change the picture.
std::vector<std::vector<Job>> make_batches(std::vector<Job> jobs, int64_t batch_size);

}  // namespace darkroom
