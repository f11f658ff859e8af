#include "model/branches.h"

#include <ATen/ATen.h>

#include "darkroom/model/manifest.h"

namespace darkroom {

namespace {

Tensors stack(const std::vector<Tensors>& images) {
  Tensors stacked;
  for (const auto& [role, first] : images.front()) {
    std::vector<at::Tensor> rows;
    for (const Tensors& image : images) rows.push_back(image.at(role));
    stacked[role] = at::cat(rows);
  }
  return stacked;
}

/// Images whose inputs have the same shapes.
struct Group {
  std::vector<Tensors> inputs;
  std::vector<int64_t> places;  ///< in all images of the call
};

std::vector<Group> groups_of(const std::vector<const std::vector<Tensors>*>& inputs) {
  std::map<std::vector<int64_t>, Group> groups;
  int64_t place = 0;
  for (const std::vector<Tensors>* images : inputs) {
    for (const Tensors& image : *images) {
      std::vector<int64_t> shapes;
      for (const auto& [role, tensor] : image)
        shapes.insert(shapes.end(), tensor.sizes().begin(), tensor.sizes().end());
      Group& group = groups[shapes];
      group.inputs.push_back(image);
      group.places.push_back(place++);
    }
  }
  std::vector<Group> list;
  for (auto& [shapes, group] : groups) list.push_back(std::move(group));
  return list;
}

at::Tensor run(Network& denoiser, const at::Tensor& x, const Level& level,
               const std::vector<Tensors>& inputs) {
  Tensors batch = stack(inputs);
  batch["sample"] = x;
  batch["timestep"] = at::full({x.size(0)}, level.timestep, at::kFloat);
  for (const std::string& role : denoiser.spec().inputs)
    if (is_residual(role)) batch[role] = at::zeros({1, 1, 1, 1}, x.options());
  return denoiser.run(batch).at(denoiser.spec().outputs.front());
}

// What the network says of x for each of the inputs, which hold as many images as x. Prompts of several
// lengths cannot go in one call.
std::vector<at::Tensor> call(Network& denoiser, const at::Tensor& x, const Level& level,
                             const std::vector<const std::vector<Tensors>*>& inputs) {
  const at::Tensor all = at::cat(std::vector<at::Tensor>(inputs.size(), x));
  const auto count = static_cast<int64_t>(inputs.size());
  const std::vector<Group> groups = groups_of(inputs);
  if (groups.size() == 1) return run(denoiser, all, level, groups.front().inputs).chunk(count);
  at::Tensor answers;
  for (const Group& group : groups) {
    const at::Tensor places = at::tensor(group.places, all.options().dtype(at::kLong));
    const at::Tensor answer = run(denoiser, all.index_select(0, places), level, group.inputs);
    if (!answers.defined()) {
      std::vector<int64_t> sizes = answer.sizes().vec();
      sizes[0] = all.size(0);
      answers = at::empty(sizes, answer.options());
    }
    answers.index_copy_(0, places, answer);
  }
  return answers.chunk(count);
}

}  // namespace

Branches branches_of(Network& denoiser, Network* weaker, BranchInputs inputs, Evaluations& evaluations) {
  return [&denoiser, weaker, inputs = std::move(inputs), &evaluations](
             const at::Tensor& x, const Level& level, const std::vector<Branch>& wanted) {
    evaluations.made += static_cast<int64_t>(wanted.size());
    std::vector<at::Tensor> raw(wanted.size());
    for (const bool of_weaker : {false, true}) {
      std::vector<size_t> places;
      std::vector<const std::vector<Tensors>*> asked;
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i].weaker != of_weaker) continue;
        places.push_back(i);
        asked.push_back(&inputs.of(wanted[i]));
      }
      if (asked.empty()) continue;
      const std::vector<at::Tensor> answers = call(of_weaker ? *weaker : denoiser, x, level, asked);
      for (size_t i = 0; i < places.size(); ++i) raw[places[i]] = answers[i];
    }
    return raw;
  };
}

Denoise count_saved(Denoise denoise, int64_t full, Evaluations& evaluations) {
  return [denoise = std::move(denoise), full, &evaluations](const at::Tensor& x, const Level& level) {
    const int64_t before = evaluations.made;
    Prediction prediction = denoise(x, level);
    evaluations.saved += full - (evaluations.made - before);
    return prediction;
  };
}

}  // namespace darkroom
