#include "model/branches.h"

#include <ATen/ATen.h>

namespace darkroom {

Tensors stack(const std::vector<Tensors>& images) {
  Tensors stacked;
  for (const auto& [role, first] : images.front()) {
    std::vector<at::Tensor> rows;
    for (const Tensors& image : images) rows.push_back(image.at(role));
    stacked[role] = at::cat(rows);
  }
  return stacked;
}

namespace {

// One network call for all inputs.
std::vector<at::Tensor> call(Network& denoiser, const at::Tensor& x, const Level& level,
                             const std::vector<Tensors>& inputs) {
  Tensors batch = stack(inputs);
  const auto count = static_cast<int64_t>(inputs.size());
  batch["sample"] = at::cat(std::vector<at::Tensor>(inputs.size(), x));
  batch["timestep"] = at::full({count * x.size(0)}, level.timestep, at::kFloat);
  return denoiser.run(batch).at(denoiser.spec().outputs.front()).chunk(count);
}

}  // namespace

Branches branches_of(Network& denoiser, Network* weaker, BranchInputs inputs, Evaluations& evaluations) {
  return [&denoiser, weaker, inputs = std::move(inputs), &evaluations](
             const at::Tensor& x, const Level& level, const std::vector<Branch>& wanted) {
    evaluations.made += static_cast<int64_t>(wanted.size());
    std::vector<at::Tensor> raw(wanted.size());
    for (const bool of_weaker : {false, true}) {
      std::vector<size_t> places;
      std::vector<Tensors> asked;
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i].weaker != of_weaker) continue;
        places.push_back(i);
        asked.push_back(inputs.of(wanted[i]));
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
