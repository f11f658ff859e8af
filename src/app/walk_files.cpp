#include "app/walk_files.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/shape_text.h"
#include "darkroom/base/error.h"
#include "darkroom/data/npy.h"
#include "darkroom/data/safetensors.h"
#include "nn/tensor_view.h"

namespace darkroom {
namespace {

namespace fs = std::filesystem;

const char* const kFormat = "darkroom walk 1";

/// Tensors by name, and the memory that views of them point into.
struct Bundle {
  std::map<std::string, at::Tensor> held;
  std::map<std::string, TensorView> views;

  void add(const std::string& name, const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    const at::Tensor& mine = held[name] = tensor.to(at::kCPU).contiguous();
    views[name] = view_of(mine);
  }
};

at::Tensor tensor_if_any(const Safetensors& file, const std::string& name) {
  return file.tensors().contains(name) ? tensor_of(file.at(name)) : at::Tensor();
}

at::Tensor numbers_of(const Level& level) {
  return at::tensor({level.alpha, level.sigma, level.timestep}, at::kDouble);
}

Level level_of(const at::Tensor& numbers) {
  const auto values = numbers.accessor<double, 1>();
  return {values[0], values[1], values[2]};
}

SavedWalk parse(const Safetensors& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) throw UsageError("is no saved walk");
  SavedWalk walk;
  walk.record = nlohmann::json::parse(file.metadata().at("picture"));
  walk.state.sampler.x = tensor_of(file.at("x"));
  walk.state.sampler.step = std::stoull(file.metadata().at("step"));
  for (size_t i = 0; file.tensors().contains("stream." + std::to_string(i)); ++i)
    walk.state.streams.push_back(tensor_of(file.at("stream." + std::to_string(i))));
  for (size_t i = 0; file.tensors().contains("history." + std::to_string(i) + ".level"); ++i) {
    const std::string name = "history." + std::to_string(i);
    walk.state.sampler.history.push_back(
        {level_of(tensor_of(file.at(name + ".level"))),
         tensor_of(file.at(name + ".x")),
         {tensor_of(file.at(name + ".x0")), tensor_of(file.at(name + ".eps")),
          tensor_if_any(file, name + ".variance")}});
  }
  return walk;
}

}  // namespace

at::Tensor read_latents(const fs::path& file, const std::vector<int64_t>& shape) {
  NpyArray array = read_npy(file);
  if (array.shape.size() == shape.size() + 1 && array.shape.front() == 1)
    array.shape.erase(array.shape.begin());
  if (array.shape != shape)
    throw UsageError("'" + file.string() + "' has the shape " + shape_text(array.shape) + "; latents of " +
                     shape_text(shape) + " are needed");
  const at::Tensor latents = at::tensor(array.values, at::kFloat).view(shape);
  if (!latents.isfinite().all().item<bool>())
    throw UsageError("'" + file.string() + "' holds values that are no numbers (NaN or Inf)");
  return latents;
}

void write_latents(const fs::path& file, const at::Tensor& latents, bool overwrite) {
  const at::Tensor values = latents.to(at::kCPU, at::kFloat).contiguous();
  const std::span<const float> numbers(values.const_data_ptr<float>(), static_cast<size_t>(values.numel()));
  // An interrupted run may have left the same latents without their picture.
  if (!overwrite && fs::exists(file) && std::ranges::equal(read_npy(file).values, numbers)) return;
  write_npy(file, values.sizes().vec(), numbers, overwrite);
}

SavedWalk read_walk(const fs::path& file) {
  try {
    return parse(Safetensors(file));
  } catch (const Error& error) {
    const std::string what = error.what();
    throw UsageError(what.starts_with("'") ? what : "'" + file.string() + "' " + what);
  } catch (const std::exception&) {
    throw UsageError("'" + file.string() + "' is a damaged walk");
  }
}

void write_walk(const fs::path& file, const SavedWalk& walk, bool overwrite) {
  Bundle bundle;
  bundle.add("x", walk.state.sampler.x);
  for (size_t i = 0; i < walk.state.streams.size(); ++i)
    bundle.add("stream." + std::to_string(i), walk.state.streams[i]);
  for (size_t i = 0; i < walk.state.sampler.history.size(); ++i) {
    const Evaluation& evaluation = walk.state.sampler.history[i];
    const std::string name = "history." + std::to_string(i);
    bundle.add(name + ".level", numbers_of(evaluation.level));
    bundle.add(name + ".x", evaluation.x);
    bundle.add(name + ".x0", evaluation.prediction.x0);
    bundle.add(name + ".eps", evaluation.prediction.eps);
    bundle.add(name + ".variance", evaluation.prediction.variance);
  }
  write_safetensors(file, bundle.views,
                    {{"format", kFormat},
                     {"picture", walk.record.dump()},
                     {"step", std::to_string(walk.state.sampler.step)}},
                    overwrite);
}

}  // namespace darkroom
