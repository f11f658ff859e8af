#pragma once

#include <stdexcept>
#include <string>

namespace darkroom {

/// What the process returns. The README's table of exit codes is this list.
enum class ExitCode : int {
  success = 0,      ///< every image asked for was written
  partial = 1,      ///< some were written, some failed
  usage = 2,        ///< option, configuration or the whole prompt file is wrong; nothing was started
  model = 3,        ///< missing, damaged, wrong hash, unknown format
  output = 4,       ///< cannot be written, or exists already
  result = 5,       ///< NaN, Inf or a constant image
  resources = 6,    ///< out of memory, device lost
  bug = 70,         ///< a fault of darkroom itself
  interrupted = 75  ///< interrupted or preempted; the same command goes on
};

/// Base of every error that darkroom throws on purpose. The message names the file, key, line and value at
/// fault and ends without a full stop; main prints it once and returns the code.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// One type per exit code, so that a caller can catch the kind it can deal with.
template <ExitCode kCode>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(const std::string& message) : Error(kCode, message) {}
};

using UsageError = ErrorOf<ExitCode::usage>;
using ModelError = ErrorOf<ExitCode::model>;
using OutputError = ErrorOf<ExitCode::output>;
using ResultError = ErrorOf<ExitCode::result>;
using ResourceError = ErrorOf<ExitCode::resources>;
using BugError = ErrorOf<ExitCode::bug>;
using InterruptedError = ErrorOf<ExitCode::interrupted>;

}  // namespace darkroom
