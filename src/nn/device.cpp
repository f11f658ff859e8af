#include "darkroom/nn/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <charconv>
#include <filesystem>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "nn/libtorch_error.h"

namespace darkroom {
namespace {

/// Keeps libtorch's warnings off stderr, where it explains why it finds no device.
class WarningCatcher : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override { text_ = warning.msg(); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// NVIDIA's driver library, null where there is none. Part of the driver, so a machine without a GPU lacks
/// it.
void* driver() {
  static void* const library = dlopen("libcuda.so.1", RTLD_LAZY);
  return library;
}

/// Loads libtorch's CUDA half, which registers itself. From the folder of libtorch_cpu.so, because the one
/// found by name alone might be of another version.
void load_cuda_libraries() {
  Dl_info cpu_library{};
  dladdr(reinterpret_cast<void*>(&at::globalContext), &cpu_library);
  const auto beside = std::filesystem::path(cpu_library.dli_fname).replace_filename("libtorch_cuda.so");
  const auto name = std::filesystem::exists(beside) ? beside : beside.filename();
  if (!dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL)) throw UsageError(dlerror());
}

/// How many CUDA devices there are; throws UsageError with the cause where there is none. The libraries must
/// be there before libtorch is first asked: it keeps its first answer.
int count_cuda_devices() {
  if (!driver()) throw UsageError("there is no NVIDIA driver (libcuda.so.1)");
  load_cuda_libraries();
  WarningCatcher warnings;
  const c10::WarningUtils::WarningHandlerGuard guard(&warnings);
  try {
    const int count = at::detail::getCUDAHooks().deviceCount();
    if (count > 0) return count;
  } catch (const std::exception& error) {
    throw UsageError(libtorch_cause(error));
  }
  throw UsageError(warnings.text().empty() ? "the driver finds none" : warnings.text());
}

at::Device cuda_device(int index) {
  int count = 0;
  try {
    count = count_cuda_devices();
  } catch (const UsageError& error) {
    throw UsageError("no CUDA device: " + std::string(error.what()) + "; use --device cpu");
  }
  if (index >= count) {
    throw UsageError("no CUDA device " + std::to_string(index) + ": " + std::to_string(count) +
                     " found, counted from 0");
  }
  // TF32 keeps 10 bits of each factor: whoever asks for fp32 means fp32. Off by default only in matrix
  // products.
  at::globalContext().setAllowTF32CuDNN(false);
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

at::Device best_device() {
  if (!driver()) return at::kCPU;  // before 400 MB of libraries are loaded in vain
  try {
    return cuda_device(0);
  } catch (const UsageError&) {
    return at::kCPU;
  }
}

struct Precision {
  const char* name;
  at::ScalarType type;
};
constexpr Precision kPrecisions[] = {{"fp32", at::kFloat}, {"bf16", at::kBFloat16}, {"fp16", at::kHalf}};

}  // namespace

at::Device find_device(std::string_view name) {
  if (name == "auto") return best_device();
  if (name == "cpu") return at::kCPU;
  if (name == "cuda") return cuda_device(0);
  if (name.starts_with("cuda:")) {
    const std::string_view digits = name.substr(5);
    uint8_t index = 0;
    const auto [end, fault] = std::from_chars(digits.begin(), digits.end(), index);
    if (fault == std::errc() && end == digits.end() && index < 128) return cuda_device(index);
  }
  throw UsageError(unknown_name("device", name, {"auto", "cpu", "cuda", "cuda:N"}));
}

at::ScalarType find_precision(std::string_view name, at::Device device) {
  if (name == "auto") return device.is_cuda() ? at::kHalf : at::kFloat;
  for (const Precision& precision : kPrecisions) {
    if (name != precision.name) continue;
    if (precision.type == at::kHalf && device.is_cpu())
      throw UsageError("precision 'fp16' needs a CUDA device; on the CPU: fp32 or bf16");
    return precision.type;
  }
  throw UsageError(unknown_name("precision", name, {"auto", "fp32", "bf16", "fp16"}));
}

void set_threads(int64_t count) {
  if (count > 0) at::set_num_threads(static_cast<int>(count));
}

std::string precision_name(at::ScalarType precision) {
  for (const Precision& known : kPrecisions)
    if (known.type == precision) return known.name;
  throw BugError("no name for precision " + std::string(c10::toString(precision)));
}

std::string device_name(at::Device device) {
  if (device.is_cpu()) return "cpu";
  // The driver's own call: libtorch's needs the CUDA headers to compile.
  using GetName = int (*)(char* name, int size, int device);
  const auto get_name = reinterpret_cast<GetName>(dlsym(driver(), "cuDeviceGetName"));
  char name[256] = "";
  if (!get_name || get_name(name, sizeof name, device.index()) != 0) return device.str();
  return device.str() + " (" + name + ")";
}

}  // namespace darkroom
