#include "darkroom/nn/network.h"

#include <ATen/ops/cat.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "base/cause.h"
#include "darkroom/base/error.h"
#include "darkroom/nn/device.h"
#include "nn/libtorch_error.h"
#include "nn/stored_tensors.h"

namespace darkroom {
namespace {

/// "sample [2,4,8,8] Float, timestep [2] Float".
std::string describe(const Tensors& inputs) {
  std::ostringstream text;
  for (const char* separator = ""; const auto& [role, tensor] : inputs) {
    text << separator << role << ' ' << tensor.sizes() << ' ' << toString(tensor.scalar_type());
    separator = ", ";
  }
  return text.str();
}

/// Calls `visit` with the name of each parameter, buffer and other tensor, and with the tensor.
template <class Visit>
void for_each_tensor(const torch::jit::Module& module, const Visit& visit) {
  for (const auto& attribute : module.named_attributes())
    if (attribute.value.isTensor()) visit(attribute.name, attribute.value.toTensor());
}

/// Gives a module's tensor the value. Module::to would turn integer buffers, such as position ids, into
/// floats.
void set(at::Tensor tensor, const at::Tensor& value, at::Device device, at::ScalarType precision) {
  tensor.requires_grad_(false);
  tensor.set_data(value.is_floating_point() ? value.to(device, precision) : value.to(device));
}

void move(const torch::jit::Module& module, at::Device device, at::ScalarType precision) {
  for_each_tensor(
      module, [&](const std::string&, const at::Tensor& tensor) { set(tensor, tensor, device, precision); });
}

/// Loads the file a tensor at a time, or, where some are not the module's by name (a TorchScript class may
/// hold them), as libtorch does.
torch::jit::Module load(const std::filesystem::path& file, at::Device device, at::ScalarType precision) {
  constexpr bool kDebugFiles = false;
  try {
    const StoredTensors stored(file);
    const auto module = torch::jit::load(stored.without_contents(), at::kCPU, kDebugFiles);
    size_t set_ones = 0;
    for_each_tensor(module, [&](const std::string& name, const at::Tensor& tensor) {
      if (!stored.has(name)) return set(tensor, tensor, device, precision);
      set(tensor, stored.read(name), device, precision);
      ++set_ones;
    });
    if (set_ones == stored.shapes().size()) return module;
  } catch (const ModelError&) {  // which the other way words as its own
  }
  const auto module = torch::jit::load(file.string(), at::kCPU, kDebugFiles);
  move(module, device, precision);
  return module;
}

std::vector<at::Tensor> tensors_of(const c10::IValue& value) {
  if (value.isTensor()) return {value.toTensor()};
  if (value.isTensorList()) return value.toTensorVector();
  std::vector<at::Tensor> tensors;
  for (const c10::IValue& element : value.toTupleRef().elements()) tensors.push_back(element.toTensor());
  return tensors;
}

}  // namespace

struct Network::Module {
  NetworkSpec spec;
  at::Device device;
  at::ScalarType precision;
  torch::jit::Module script;
  std::set<std::string> changed = {};              ///< parameters that may differ from the file's
  std::map<std::string, int64_t> lengthened = {};  ///< by name, how many rows the file has

  std::string title() const { return "network '" + spec.name + "' ('" + spec.file.string() + "')"; }
};

Network::Network(NetworkSpec spec, at::Device device, at::ScalarType precision)
    : module_(new Module{std::move(spec), device, precision, torch::jit::Module()}) {
  const std::filesystem::path& file = module_->spec.file;
  if (access(file.c_str(), R_OK) != 0) throw_cannot<ModelError>("read", file, errno);
  size_t arguments = 0;
  try {
    const at::NoGradGuard no_grad;
    module_->script = load(file, device, precision);
    module_->script.eval();
    arguments = module_->script.get_method("forward").function().getSchema().arguments().size() - 1;  // self
  } catch (const std::exception& error) {
    throw_libtorch_error("cannot load " + module_->title(), error);
  }
  if (arguments != module_->spec.inputs.size()) {
    throw ModelError(module_->title() + " takes " + std::to_string(arguments) + " inputs, but " +
                     std::to_string(module_->spec.inputs.size()) + " are declared");
  }
}

Network::~Network() = default;
Network::Network(Network&&) noexcept = default;
Network& Network::operator=(Network&&) noexcept = default;

Tensors Network::run(const Tensors& inputs, bool grad) {
  const NetworkSpec& declared = module_->spec;
  for (const auto& [role, tensor] : inputs) {
    if (std::ranges::find(declared.inputs, role) == declared.inputs.end())
      throw ModelError(module_->title() + " has no input '" + role + "'");
  }
  std::vector<at::Tensor> outputs;
  try {
    const at::AutoGradMode record(grad);
    // The optimising executor would spend minutes specialising a large network for the first shapes it sees.
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    std::vector<c10::IValue> arguments;
    for (const std::string& role : declared.inputs) {
      const auto input = inputs.find(role);
      if (input == inputs.end()) throw ModelError(module_->title() + ": input '" + role + "' is missing");
      const at::ScalarType dtype = !input->second.is_floating_point() ? input->second.scalar_type()
                                   : role == "timestep"               ? at::kFloat
                                                                      : module_->precision;
      arguments.emplace_back(input->second.to(module_->device, dtype));
    }
    outputs = tensors_of(module_->script.forward(std::move(arguments)));
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw_libtorch_error(module_->title() + " failed for " + describe(inputs), error);
  }
  if (outputs.size() != declared.outputs.size()) {
    throw ModelError(module_->title() + " gives " + std::to_string(outputs.size()) + " outputs, but " +
                     std::to_string(declared.outputs.size()) + " are declared");
  }
  Tensors named;
  for (size_t i = 0; i < outputs.size(); ++i) named[declared.outputs[i]] = outputs[i];
  return named;
}

void Network::move_to(at::Device device) {
  if (device == module_->device) return;
  try {
    const at::NoGradGuard no_grad;
    move(module_->script, device, module_->precision);
  } catch (const std::exception& error) {
    throw_libtorch_error("cannot move " + module_->title() + " to " + device_name(device), error);
  }
  module_->device = device;
}

at::Device Network::device() const { return module_->device; }

const NetworkSpec& Network::spec() const { return module_->spec; }

Tensors Network::parameters() const {
  Tensors parameters;
  for (const auto& parameter : module_->script.named_parameters())
    parameters[parameter.name] = parameter.value;
  return parameters;
}

void Network::change_parameters(const std::set<std::string>& names, const Change& change) {
  std::set<std::string>& changed = module_->changed;
  changed.insert(names.begin(), names.end());
  if (changed.empty()) return;
  const StoredTensors file(module_->spec.file);
  try {
    const at::NoGradGuard no_grad;
    for (const auto& parameter : module_->script.named_parameters()) {
      if (!changed.contains(parameter.name)) continue;
      const at::Tensor stored = file.read(parameter.name);
      at::Tensor value = parameter.value;
      if (module_->lengthened.contains(parameter.name)) value = value.narrow(0, 0, stored.size(0));
      value.copy_(names.contains(parameter.name) ? change(parameter.name, stored.to(at::kFloat)) : stored);
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw_libtorch_error("cannot change the parameters of " + module_->title(), error);
  }
  changed = names;
}

void Network::append_rows(const Tensors& rows) {
  std::map<std::string, int64_t>& lengthened = module_->lengthened;
  try {
    const at::NoGradGuard no_grad;
    for (const auto& parameter : module_->script.named_parameters()) {
      at::Tensor value = parameter.value;
      const auto more = rows.find(parameter.name);
      const auto longer = lengthened.find(parameter.name);
      if (more == rows.end() && longer == lengthened.end()) continue;
      const int64_t own = longer == lengthened.end() ? value.size(0) : longer->second;
      const at::Tensor table = value.narrow(0, 0, own);
      value.set_data(more == rows.end() ? table.clone() : at::cat({table, more->second.to(table.options())}));
      lengthened[parameter.name] = own;
      if (more == rows.end()) lengthened.erase(parameter.name);
    }
  } catch (const std::exception& error) {
    throw_libtorch_error("cannot lengthen the parameters of " + module_->title(), error);
  }
}

}  // namespace darkroom
