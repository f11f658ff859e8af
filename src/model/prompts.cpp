#include "model/prompts.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "model/guidance.h"
#include "model/picture_values.h"

namespace darkroom {
namespace {

/// One conditioning of an image, and what lengthens it.
struct Lengthened {
  Tensors* tensors;
  Tensors filler;  ///< of one chunk; empty: the last token is repeated
};

// Makes the rows of tokens as many as the longest has.
void even_out(const std::vector<Lengthened>& conditionings) {
  for (const auto& [role, first] : *conditionings.front().tensors) {
    if (first.dim() != 3) continue;
    int64_t longest = 0;
    for (const Lengthened& one : conditionings) longest = std::max(longest, one.tensors->at(role).size(1));
    for (const Lengthened& one : conditionings) {
      at::Tensor& rows = one.tensors->at(role);
      const at::Tensor filler =
          one.filler.empty() ? rows.narrow(1, rows.size(1) - 1, 1) : one.filler.at(role);
      const int64_t times = (longest - rows.size(1)) / filler.size(1);
      if (times > 0) rows = at::cat({rows, filler.repeat({1, times, 1})}, 1);
    }
  }
}

/// What one image's prompts become.
struct Encoded {
  std::vector<Tensors> prompts, negative, empty;  ///< the last two hold one or none
};

Encoded encode_picture(Conditioner& conditioner, const Settings& settings, const Request& request) {
  const Reading reading = reading_of(settings);
  Reading of_negative = reading;
  of_negative.clip_skip = 0;

  Encoded encoded;
  for (const WeightedPrompt& prompt : prompts_in(request.prompt, settings))
    encoded.prompts.push_back(conditioner.encode(prompt.text, request.place, reading));
  // Composed prompts may need it without guidance.
  if (is_guided(settings) || settings.compose)
    encoded.negative.push_back(
        conditioner.encode(request.negative_prompt, request.place + " (negative prompt)", of_negative));
  if (settings.perp_neg > 0) encoded.empty.push_back(conditioner.encode(std::nullopt, "", of_negative));

  if (!reading.chunks) return encoded;
  // A1111 asks about prompts of other lengths in calls of their own, but for those composed in one picture.
  const bool of_a1111 = reading.weighting == Weighting::a1111;
  std::vector<Lengthened> together;
  for (Tensors& prompt : encoded.prompts)
    together.push_back({&prompt, of_a1111 ? Tensors() : conditioner.encode("", "", reading)});
  if (!of_a1111) {
    for (Tensors& negative : encoded.negative)
      together.push_back(
          {&negative, request.negative_prompt ? conditioner.encode("", "", of_negative) : negative});
    for (Tensors& empty : encoded.empty) together.push_back({&empty, empty});
  }
  even_out(together);
  return encoded;
}

void add_values(std::vector<Tensors>& images, const Manifest& manifest, const Settings& settings,
                bool negative) {
  for (const Manifest::Conditioning& conditioning : manifest.conditioning)
    if (!conditioning.values.empty())
      for (Tensors& image : images)
        image[conditioning.role] = picture_values(conditioning.values, settings, negative);
}

}  // namespace

BranchInputs encode_prompts(Conditioner& conditioner, const Manifest& manifest, const Settings& settings,
                            const std::vector<Request>& requests) {
  BranchInputs inputs;
  for (const Request& request : requests) {
    const Encoded encoded = encode_picture(conditioner, settings, request);
    inputs.prompts.resize(encoded.prompts.size());
    for (size_t i = 0; i < encoded.prompts.size(); ++i) inputs.prompts[i].push_back(encoded.prompts[i]);
    inputs.negative.insert(inputs.negative.end(), encoded.negative.begin(), encoded.negative.end());
    inputs.empty.insert(inputs.empty.end(), encoded.empty.begin(), encoded.empty.end());
  }
  for (std::vector<Tensors>& images : inputs.prompts) add_values(images, manifest, settings, false);
  add_values(inputs.negative, manifest, settings, true);
  add_values(inputs.empty, manifest, settings, true);
  return inputs;
}

}  // namespace darkroom
