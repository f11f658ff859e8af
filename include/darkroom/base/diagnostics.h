#pragma once

#include <string>

namespace darkroom {

/// Something a person should know although the work goes on.
struct Warning {
  std::string kind;   ///< stable, for scripts: "words_lost", "invalid_utf8", ...
  std::string text;   ///< for people
  std::string place;  ///< what it is about: "prompt", "negative prompt", "prompts.txt:12"
};

/// Where the layers below app/ send warnings; app/ prints them or puts them into --json.
class Diagnostics {
 public:
  virtual ~Diagnostics() = default;
  virtual void warn(const Warning& warning) = 0;
};

/// For what has been warned of elsewhere.
class Silent : public Diagnostics {
 public:
  void warn(const Warning&) override {}
};

}  // namespace darkroom
