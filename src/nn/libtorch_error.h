#pragma once

#include <exception>
#include <string>

namespace darkroom {

/// What libtorch's message says went wrong, on one line: without the C++ backtrace and the TorchScript
/// traceback.
std::string libtorch_cause(const std::exception& error);

/// Throws "WHAT: cause" as ResourceError where memory ran out or the device was lost, else as ModelError;
/// libtorch's whole text is nested in it. To be called where `error` is caught.
[[noreturn]] void throw_libtorch_error(const std::string& what, const std::exception& error);

}  // namespace darkroom
