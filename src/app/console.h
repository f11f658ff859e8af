#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/jobs.h"
#include "app/progress.h"
#include "darkroom/base/diagnostics.h"

namespace darkroom {

/// Everything a run says. Results go to standard output: a line of text, or with --json one JSON object a
/// line. Everything else goes to standard error.
class Console : public Diagnostics {
 public:
  explicit Console(const Options& options) : json_(options.json), quiet_(options.quiet) {}

  /// A result, in both its forms. A standard output that nobody reads any more is no error; whatever else
  /// keeps a line from being written is kept for check_results.
  void result(const std::string& text, const nlohmann::json& object);

  /// Throws OutputError if results were lost other than to a closed standard output.
  void check_results() const;

  void warn(const Warning& warning) override;
  void notice(const std::string& text);
  void failure(const Failure& failure);

  /// While set, the bar is taken off the screen before anything is printed.
  void attach(Progress* progress) { progress_ = progress; }

 private:
  void message(const std::string& text);
  void print_line(std::string line);
  void print_object(const nlohmann::json& object);

  bool json_, quiet_;
  Progress* progress_ = nullptr;
  int lost_ = 0;  ///< errno of the first line that could not be written
};

}  // namespace darkroom
