// What is compared: which branches are asked, and what is moved away from.
#include <ATen/ATen.h>

#include <cmath>
#include <numeric>

#include "darkroom/diffusion/guidance.h"
#include "diffusion/per_image.h"

namespace darkroom {
namespace {

constexpr Branch kNegative = {.conditioning = Branch::Conditioning::negative};
constexpr Branch kEmpty = {.conditioning = Branch::Conditioning::empty};
constexpr Branch kWeaker = {.weaker = true};

struct Answers {
  std::vector<at::Tensor> bases, prompts;
  at::Tensor variance;
};

Answers ask(const BranchedDenoiser& denoiser, const at::Tensor& x, const Level& level,
            std::vector<Branch> wanted) {
  const auto bases = static_cast<int64_t>(wanted.size());
  for (size_t i = 0; i < denoiser.weights.size(); ++i) wanted.push_back({.prompt = i});
  std::vector<at::Tensor> raw = denoiser.branches(x, level, wanted);
  for (at::Tensor& output : raw) output = output.to(x.scalar_type());
  Answers answers;
  if (denoiser.kind.learned_variance) {
    const int64_t channels = x.size(1);
    answers.variance = raw[static_cast<size_t>(bases)].narrow(1, channels, channels);
    for (at::Tensor& output : raw) output = output.narrow(1, 0, channels);
  }
  answers.bases.assign(raw.begin(), raw.begin() + bases);
  answers.prompts.assign(raw.begin() + bases, raw.end());
  return answers;
}

Comparison against(const at::Tensor& base, const Answers& answers, const std::vector<double>& weights) {
  const at::Tensor& first = answers.prompts.front();
  if (weights == std::vector<double>{1}) return {first, base, first - base, answers.variance};
  at::Tensor towards = (first - base) * weights.front();
  for (size_t i = 1; i < weights.size(); ++i) towards.add_(answers.prompts[i] - base, weights[i]);
  return {base + towards, base, towards, answers.variance};
}

at::Tensor perpendicular(const at::Tensor& vector, const at::Tensor& to) {
  return vector - to * (image_product(vector, to) / image_product(to, to).clamp_min(1e-12));
}

}  // namespace

Compare classifier_free(BranchedDenoiser denoiser) {
  return [denoiser = std::move(denoiser)](const at::Tensor& x, const Level& level) {
    const Answers answers = ask(denoiser, x, level, {kNegative});
    return against(answers.bases[0], answers, denoiser.weights);
  };
}

Compare perpendicular_negative(BranchedDenoiser denoiser, double strength) {
  return [denoiser = std::move(denoiser), strength](const at::Tensor& x, const Level& level) {
    const Answers answers = ask(denoiser, x, level, {kEmpty, kNegative});
    const at::Tensor &empty = answers.bases[0], &negative = answers.bases[1];
    Comparison comparison = against(empty, answers, denoiser.weights);
    comparison.towards = comparison.towards - strength * perpendicular(negative - empty, comparison.towards);
    return comparison;
  };
}

Compare autoguidance(BranchedDenoiser denoiser) {
  return [denoiser = std::move(denoiser)](const at::Tensor& x, const Level& level) {
    const Answers answers = ask(denoiser, x, level, {kWeaker});
    return against(answers.bases[0], answers, denoiser.weights);
  };
}

Compare prompts_alone(BranchedDenoiser denoiser) {
  const double sum = std::accumulate(denoiser.weights.begin(), denoiser.weights.end(), 0.0);
  const bool affine = std::abs(sum - 1) < 1e-9;  // the negative prompt's share is 1 - sum
  return [denoiser = std::move(denoiser), affine](const at::Tensor& x, const Level& level) {
    const Answers answers = ask(denoiser, x, level, affine ? std::vector<Branch>() : std::vector{kNegative});
    const at::Tensor& base = affine ? answers.prompts[0] : answers.bases[0];
    const Comparison comparison = against(base, answers, denoiser.weights);
    return Comparison{comparison.conditional, {}, {}, comparison.variance};
  };
}

}  // namespace darkroom
