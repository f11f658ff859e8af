#include "model/decoding.h"

#include <ATen/ATen.h>

#include "base/shape_text.h"
#include "darkroom/base/error.h"
#include "model/tiles.h"

namespace darkroom {
namespace {

// Rounds once, from float32, half to even.
Image to_image(const at::Tensor& decoded) {
  const at::Tensor pixels = (decoded.to(at::kCPU, at::kFloat) * 0.5 + 0.5)
                                .clamp(0, 1)
                                .mul(255)
                                .round()
                                .to(at::kByte)
                                .permute({1, 2, 0})
                                .contiguous();
  const auto* bytes = pixels.const_data_ptr<uint8_t>();
  return {
      static_cast<int>(pixels.size(1)), static_cast<int>(pixels.size(0)), {bytes, bytes + pixels.numel()}};
}

bool finite(const at::Tensor& tensor) { return tensor.isfinite().all().item<bool>(); }

bool one_colour(const Image& image) {
  for (size_t i = 3; i < image.rgb.size(); ++i)
    if (image.rgb[i] != image.rgb[i % 3]) return false;
  return true;
}

// picture (3, height, width) of latents (C, h, w).
Outcome outcome_of(const at::Tensor& latents, const at::Tensor& decoded) {
  if (!finite(latents)) return {{}, "the denoiser returned values that are no numbers (NaN or Inf)"};
  if (!finite(decoded)) return {{}, "the decoder returned values that are no numbers (NaN or Inf)"};
  Outcome outcome{to_image(decoded), ""};
  if (one_colour(outcome.image)) outcome.fault = "the picture is one flat colour";
  return outcome;
}

}  // namespace

std::vector<Outcome> decode(Network& decoder, const Manifest::Output& output, const at::Tensor& latents,
                            const Settings& settings, int64_t slice) {
  const std::string& role = decoder.spec().inputs.front();
  const auto run = [&](const at::Tensor& part) {
    return decoder.run({{role, part}}).at(decoder.spec().outputs.front());
  };
  std::vector<Outcome> outcomes;
  for (const at::Tensor& part : latents.split(slice)) {
    const at::Tensor scaled = part / output.scale + output.shift;
    const at::Tensor decoded =
        settings.vae_tiling > 0
            ? decode_tiled(run, scaled, settings.vae_tiling / output.factor, output.factor)
            : run(scaled);
    if (decoded.sizes() != at::IntArrayRef({part.size(0), 3, settings.height, settings.width}))
      throw ModelError("network '" + decoder.spec().name + "' made pictures of shape " +
                       shape_text(decoded.sizes()) + " instead of [" + std::to_string(part.size(0)) +
                       ", 3, " + std::to_string(settings.height) + ", " + std::to_string(settings.width) +
                       "]; output.factor or state in model.json may be wrong");
    for (int64_t i = 0; i < part.size(0); ++i) outcomes.push_back(outcome_of(part[i], decoded[i]));
  }
  return outcomes;
}

}  // namespace darkroom
