#include "app/jobs.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <set>

#include "app/naming.h"
#include "app/numbers.h"
#include "app/walk_files.h"
#include "darkroom/diffusion/sampler.h"

namespace darkroom {
namespace {

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

NameValues name_values(const Job& job, const Manifest& manifest) {
  char index[24];
  std::snprintf(index, sizeof index, "%05lld", static_cast<long long>(job.index));
  const nlohmann::json id =
      job.extras.is_object() ? job.extras.value("id", nlohmann::json()) : nlohmann::json();
  return {{"index", index},
          {"slug", slug(*job.options.prompt)},
          {"seed", std::to_string(job.options.seed)},
          {"id", slug(id.is_string() ? id.get<std::string>()
                      : id.is_null() ? std::to_string(job.index)
                                     : id.dump())},
          {"line", std::to_string(job.line)},
          {"width", std::to_string(job.options.width)},
          {"height", std::to_string(job.options.height)},
          {"steps", std::to_string(job.options.steps)},
          {"sampler", slug(job.options.sampler)},
          {"model", slug(manifest.name)}};
}

/// Throws UsageError for two jobs that would write the same file, on a file system that ignores case too.
void refuse_equal_files(const std::vector<Job>& jobs, const Output& output) {
  std::map<std::string, const Job*> files;
  for (const Job& job : jobs) {
    const auto [first, is_new] = files.emplace(lower(job.file.string()), &job);
    if (!is_new)
      throw UsageError("'" + job.file.string() + "' would be written twice (" + first->second->place + ", " +
                       job.place + "); the file name '" + output.name +
                       "' needs a placeholder such as {index}");
  }
}

/// Those of the prompts' words: without the others it is the same picture.
std::vector<Embedding> named_embeddings(const Options& options, const std::vector<EmbeddingWords>& words) {
  std::vector<Embedding> named;
  for (size_t i = 0; i < words.size(); ++i)
    if (is_named(words[i], *options.prompt, options.weighting) ||
        is_named(words[i], options.negative_prompt.value_or(""), options.weighting))
      named.push_back(options.embeddings[i]);
  return named;
}

/// In a form that, unlike JSON's, knows every byte that a file's name may have.
void append(std::string& text, const nlohmann::json& value) {
  const std::vector<uint8_t> bytes = nlohmann::json::to_cbor(value);
  text.append(bytes.begin(), bytes.end());
}

}  // namespace

Jobs make_jobs(const std::vector<Prompt>& prompts, uint32_t run_seed, const Manifest& manifest,
               const Manifest* refiner, const Output& output) {
  Jobs made;
  Settings checked;
  std::vector<EmbeddingWords> words;  // of its embeddings
  std::set<std::filesystem::path> checked_loras;
  int64_t index = 0;
  for (const Prompt& prompt : prompts) {
    const int64_t count = prompt.options.batch_count;
    try {
      if (!prompt.fault.empty()) throw UsageError(prompt.fault);
      // Building a schedule to check it takes a while; most lines have the settings of the line before.
      Options options = prompt.options;
      options.given_latents = !options.init_latents.empty();
      const Settings& settings = options;
      if (!(settings == checked)) check_settings(settings, manifest, refiner);
      if (settings.embeddings != checked.embeddings) words = check_embeddings(settings.embeddings);
      checked = settings;
      for (const Lora& lora : settings.loras)
        if (!checked_loras.contains(lora.file)) {
          check_lora(lora.file);
          checked_loras.insert(lora.file);
        }
      check_prompt(settings, *prompt.options.prompt);
      check_negative_prompt(settings, prompt.options.negative_prompt);
      if (settings.given_latents) read_latents(options.init_latents, latent_shape(manifest, settings));
      options.embeddings = named_embeddings(options, words);
      const int64_t first_seed = prompt.options.seed < 0 ? int64_t{run_seed} : prompt.options.seed;
      for (int64_t k = 0; k < count; ++k) {
        Job job{index + k, options, prompt.place, prompt.line, prompt.extras, {}};
        job.options.seed = (first_seed + k) & 0xffffffff;
        job.file = output.folder / expand_template(output.name, name_values(job, manifest));
        made.jobs.push_back(std::move(job));
      }
    } catch (const Error& error) {
      made.failures.push_back({error.code(), error.what(), prompt.place, prompt.line});
    }
    index += count;
  }
  refuse_equal_files(made.jobs, output);
  return made;
}

std::vector<std::vector<Job>> make_batches(std::vector<Job> jobs, int64_t batch_size) {
  std::vector<std::vector<Job>> batches;
  // The batch that each kind of settings fills at present, found by the settings as text.
  std::map<std::string, size_t> open;
  for (Job& job : jobs) {
    std::string settings;
    for (const Option& option : option_table())
      if (option.scope == Scope::picture && option.name != "prompt" && option.name != "negative-prompt" &&
          option.name != "seed")
        append(settings, option_value(job.options, option));
    for (const WeightedPrompt& part : prompts_in(*job.options.prompt, job.options))
      settings += number_text(part.weight) + " ";
    const int64_t most = find_sampler(job.options.sampler).adaptive ? 1 : batch_size;
    const auto [batch, is_new] = open.emplace(settings, batches.size());
    if (!is_new && batches[batch->second].size() == static_cast<size_t>(most)) {
      batch->second = batches.size();
      batches.emplace_back();
    } else if (is_new) {
      batches.emplace_back();
    }
    batches[batch->second].push_back(std::move(job));
  }
  return batches;
}

}  // namespace darkroom
