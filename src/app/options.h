#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "darkroom/model/pipeline.h"

namespace darkroom {

/// The program's version, "0.1.0".
extern const char* const kVersion;

/// Everything a person can ask for: the picture's settings, and how to run.
struct Options : Settings {
  std::optional<std::string> prompt, negative_prompt;
  std::string prompt_file;
  int64_t seed = -1;  ///< -1: drawn at random
  int64_t batch_count = 1;

  std::string model = "emoji", device = "auto", precision = "auto";
  std::string autoguidance;      ///< name or folder of the weaker model; empty: none
  std::string refiner;           ///< likewise
  int64_t threads = 0;           ///< 0: libtorch decides
  std::string offload = "none";  ///< one of offload_names()
  int64_t vae_slicing = 1;       ///< pictures decoded at a time

  std::string init_latents;  ///< a .npy file
  std::string trace_latents, save_state, load_state;
  bool save_latents = false;

  std::string output = ".";
  std::string name = "{index}-{slug}-{seed}.png";
  int64_t batch_size = 1;
  bool force = false, no_metadata = false, dry_run = false;

  bool json = false, quiet = false, verbose = false, help = false, version = false;
  std::string config;
};

/// A name that an option takes, and the words that other programs use for it.
struct Choice {
  std::string name;
  std::vector<std::string> aliases;
};

/// How far an option reaches.
enum class Scope {
  picture,  ///< decides the picture: recorded in it, compared on resuming, may stand in a line of a prompt
            ///< file
  line,     ///< may stand in a line of a prompt file
  run,      ///< the whole run
  command   ///< the command line alone, not a configuration file
};

/// One row of the option table, which the command line, --help, configuration files, prompt files and the
/// record in the picture all read.
struct Option {
  using Field = std::variant<bool Options::*, int64_t Options::*, double Options::*,
                             std::optional<double> Options::*, std::string Options::*,
                             std::optional<std::string> Options::*, std::vector<double> Options::*,
                             std::vector<Lora> Options::*, std::vector<Embedding> Options::*>;

  std::string name;  ///< "cfg-scale": --cfg-scale; "cfg_scale" in JSON
  char letter;       ///< 'W': -W; 0: none
  std::vector<std::string> aliases;
  std::string group;  ///< heading in --help
  Scope scope;
  Field field;
  std::string value;                           ///< what it takes, for --help; empty for a flag
  std::string help;                            ///< one line
  double low = 0, high = 0;                    ///< numbers: what is allowed
  std::vector<Choice> (*choices)() = nullptr;  ///< texts: the names allowed; null: any text

  /// The name as a key of JSON: "cfg_scale".
  std::string key() const;
};

const std::vector<Option>& option_table();

/// Whether it may be given several times, to be a list.
bool is_repeated(const Option& option);

/// By name or alias as people write keys: letter case, '-', '_' and ' ' do not matter. Null if there is none.
const Option* find_option(std::string_view name);

/// Reads `text` as the option's value. Throws UsageError beginning with `what`, which names the option and
/// its place.
void set_option(Options& options, const Option& option, const std::string& text, const std::string& what);

/// The same for an option that was given several times: a list has all of them, any other the last.
void set_option(Options& options, const Option& option, const std::vector<std::string>& texts,
                const std::string& what);

/// The value as JSON; null where there is none.
nlohmann::json option_value(const Options& options, const Option& option);

}  // namespace darkroom
