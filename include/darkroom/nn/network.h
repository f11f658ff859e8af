#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace darkroom {

/// Tensors by role: "sample", "timestep", "context", ...
using Tensors = std::map<std::string, at::Tensor>;

/// What a network is called, where it lies and which roles its positional inputs and outputs have.
struct NetworkSpec {
  std::string name;
  std::filesystem::path file;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

/// A frozen network. The only class that knows TorchScript; device, precision and memory format end here.
class Network {
 public:
  /// Loads the file on the CPU and moves its tensors, one read after the other, so that only one is there
  /// twice (loading to CUDA directly would move traced scalar constants too, a hidden synchronisation per
  /// layer). Runs code from the file: check its hash first. Throws ModelError, naming file and cause, if it
  /// cannot be loaded, and ResourceError if memory runs out.
  Network(NetworkSpec spec, at::Device device, at::ScalarType precision);
  ~Network();
  Network(Network&&) noexcept;
  Network& operator=(Network&&) noexcept;

  /// One call. Floating inputs are converted to the network's device and precision, integer inputs to its
  /// device; "timestep" is a vector of length batch and stays float32. Outputs come back in the network's
  /// precision, on its device, valid until the next run. `grad` keeps the graph, for guidance by gradients.
  /// Throws ModelError, naming network and shapes, if a role is missing or the network refuses the inputs,
  /// ResourceError if memory runs out.
  Tensors run(const Tensors& inputs, bool grad = false);

  /// Moves the parameters and buffers: there it runs from now on. Throws ResourceError if memory runs out.
  void move_to(at::Device device);

  at::Device device() const;
  const NetworkSpec& spec() const;

  /// The parameters, by their names in the diffusers state dict.
  Tensors parameters() const;

  /// What a parameter is to be, given what the file holds for it: float32, on the CPU.
  using Change = std::function<at::Tensor(const std::string& name, const at::Tensor& stored)>;

  /// Changes the named parameters, each rounded once to the network's precision; every other is again what
  /// the file holds, bit for bit as after loading. The tensors concerned are read from the file, one at a
  /// time; no copy of them is kept. Throws ModelError, naming file and parameter; the next call mends what
  /// was left half done.
  void change_parameters(const std::set<std::string>& names, const Change& change);

  /// Puts rows behind the named parameters' own, rounded once to the network's precision; all others are as
  /// long as in the file again. A table that a network looks up in may so have more rows; what multiplies may
  /// not. Throws ModelError as change_parameters.
  void append_rows(const Tensors& rows);

 private:
  struct Module;
  std::unique_ptr<Module> module_;
};

}  // namespace darkroom
