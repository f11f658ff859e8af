#include "darkroom/model/pipeline.h"

#include <ATen/ATen.h>

#include <array>
#include <sstream>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "darkroom/nn/network.h"
#include "model/conditioner.h"
#include "model/load.h"
#include "model/settings.h"
#include "nn/libtorch_error.h"

namespace darkroom {
namespace {

struct NoiseType {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array kNoiseTypes = {NoiseType{"fp32", at::kFloat}, NoiseType{"fp16", at::kHalf},
                                    NoiseType{"bf16", at::kBFloat16}};

// Both halves of guidance for all images: inputs by role, (images, ...) each.
struct BranchInputs {
  Tensors unconditional, conditional;
};

Tensors stack(const std::vector<Tensors>& images) {
  Tensors stacked;
  for (const auto& [role, first] : images.front()) {
    std::vector<at::Tensor> rows;
    for (const Tensors& image : images) rows.push_back(image.at(role));
    stacked[role] = at::cat(rows);
  }
  return stacked;
}

// One network call for all branches wanted.
Branches branches_of(Network& denoiser, const std::string& output, BranchInputs inputs) {
  return [&denoiser, output, inputs = std::move(inputs)](const at::Tensor& x, const Level& level,
                                                         const std::vector<Branch>& wanted) {
    std::vector<Tensors> halves;
    for (const Branch branch : wanted)
      halves.push_back(branch == Branch::conditional ? inputs.conditional : inputs.unconditional);
    Tensors call = stack(halves);
    const auto count = static_cast<int64_t>(wanted.size());
    call["sample"] = at::cat(std::vector<at::Tensor>(wanted.size(), x));
    call["timestep"] = at::full({count * x.size(0)}, level.timestep, at::kFloat);
    return denoiser.run(call).at(output).chunk(count);
  };
}

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

std::string shape_text(const at::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.sizes();
  return text.str();
}

bool finite(const at::Tensor& tensor) { return tensor.isfinite().all().item<bool>(); }

bool one_colour(const Image& image) {
  for (size_t i = 3; i < image.rgb.size(); ++i)
    if (image.rgb[i] != image.rgb[i % 3]) return false;
  return true;
}

}  // namespace

struct Pipeline::Parts {
  Parts(Manifest m, Options o, Diagnostics& diagnostics)
      : manifest(std::move(m)),
        options(o),
        conditioner((check_hashes(manifest), manifest), o.device, o.precision, o.keep_text_encoder,
                    diagnostics),
        denoiser(load_network(manifest, manifest.stages.front().denoiser, o.device, o.precision)),
        decoder(load_network(manifest, manifest.output.decoder, o.device, o.precision)) {}

  BranchInputs encode(const std::vector<Request>& requests, bool guided);
  Outcome decode(const at::Tensor& latents, const Settings& settings);
  std::vector<Outcome> generate(const Settings& settings, const std::vector<Request>& requests,
                                const StepObserver& observer);

  Manifest manifest;
  Options options;
  Conditioner conditioner;
  Network denoiser, decoder;
};

BranchInputs Pipeline::Parts::encode(const std::vector<Request>& requests, bool guided) {
  std::vector<Tensors> unconditional, conditional;
  for (const Request& request : requests) {
    conditional.push_back(conditioner.encode(request.prompt, request.place));
    if (guided)
      unconditional.push_back(
          conditioner.encode(request.negative_prompt, request.place + " (negative prompt)"));
  }
  conditioner.release();
  return {guided ? stack(unconditional) : Tensors{}, stack(conditional)};
}

// latents (C, h, w) -> picture, or why there is none.
Outcome Pipeline::Parts::decode(const at::Tensor& latents, const Settings& settings) {
  if (!finite(latents)) return {{}, "the denoiser returned values that are no numbers (NaN or Inf)"};
  const at::Tensor scaled = latents.unsqueeze(0) / manifest.output.scale + manifest.output.shift;
  const std::string& role = decoder.spec().inputs.front();
  const at::Tensor decoded = decoder.run({{role, scaled}}).at(decoder.spec().outputs.front())[0];
  if (decoded.sizes() != at::IntArrayRef({3, settings.height, settings.width}))
    throw ModelError("network '" + decoder.spec().name + "' made a picture of shape " + shape_text(decoded) +
                     " instead of [3, " + std::to_string(settings.height) + ", " +
                     std::to_string(settings.width) + "]; output.factor or state in model.json may be wrong");
  if (!finite(decoded)) return {{}, "the decoder returned values that are no numbers (NaN or Inf)"};
  Outcome outcome{to_image(decoded), ""};
  if (one_colour(outcome.image)) outcome.fault = "the picture is one flat colour";
  return outcome;
}

Pipeline::Pipeline(Manifest manifest, Options options, Diagnostics& diagnostics)
    : parts_(std::make_unique<Parts>(std::move(manifest), options, diagnostics)) {}

Pipeline::~Pipeline() = default;

const Manifest& Pipeline::manifest() const { return parts_->manifest; }

std::vector<Outcome> Pipeline::Parts::generate(const Settings& settings, const std::vector<Request>& requests,
                                               const StepObserver& observer) {
  const Manifest::Stage& stage = manifest.stages.front();
  const Walk walk = walk_of(settings, stage);

  std::vector<uint32_t> seeds;
  for (const Request& request : requests) seeds.push_back(request.seed);
  SeededNoise noise(seeds, state_shape(stage, settings.width, settings.height),
                    find_row<UsageError>("noise dtype", settings.noise_dtype, kNoiseTypes).type,
                    at::TensorOptions(at::kFloat).device(options.device));

  BranchInputs inputs = encode(requests, settings.cfg_scale > 1);
  const Denoise denoise =
      denoiser_of(settings, stage, branches_of(denoiser, denoiser.spec().outputs.front(), std::move(inputs)));
  const at::Tensor latents = sample(find_sampler(settings.sampler), denoise, noise.draw() * walk.init_scale,
                                    walk, noise, sampler_options_of(settings), observer);

  std::vector<Outcome> outcomes;
  for (const at::Tensor& image : latents.unbind(0)) outcomes.push_back(decode(image, settings));
  return outcomes;
}

std::vector<Outcome> Pipeline::generate(const Settings& settings, const std::vector<Request>& requests,
                                        const StepObserver& observer) {
  check_settings(settings, parts_->manifest);
  try {
    return parts_->generate(settings, requests, observer);
  } catch (const c10::Error& error) {
    throw_libtorch_error("model '" + parts_->manifest.name + "'", error);
  }
}

}  // namespace darkroom
