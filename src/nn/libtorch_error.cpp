#include "nn/libtorch_error.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <new>
#include <string_view>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

bool is_resource_fault(const std::string& cause) {
  const auto says = [&](const char* words) { return cause.find(words) != std::string::npos; };
  return says("out of memory") || says("not enough memory") || says("can't allocate memory") ||
         says("CUDA error") || says("cuDNN error") || says("CUBLAS_STATUS");
}

}  // namespace

std::string libtorch_cause(const std::exception& error) {
  const auto* c10_error = dynamic_cast<const c10::Error*>(&error);
  std::string text = c10_error ? c10_error->what_without_backtrace() : error.what();
  // The TorchScript interpreter puts its traceback first and the cause last.
  constexpr std::string_view kAfterTraceback = "\nRuntimeError: ";
  const size_t traceback = text.rfind(kAfterTraceback);
  if (traceback != std::string::npos) text.erase(0, traceback + kAfterTraceback.size());
  const size_t start = std::min(text.find_first_not_of(" \n"), text.size());
  return text.substr(start, text.find('\n', start) - start);
}

void throw_libtorch_error(const std::string& what, const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error))
    std::throw_with_nested(ResourceError(what + ": out of memory"));
  const std::string cause = libtorch_cause(error);
  if (is_resource_fault(cause)) std::throw_with_nested(ResourceError(what + ": " + cause));
  std::throw_with_nested(ModelError(what + ": " + cause));
}

}  // namespace darkroom
