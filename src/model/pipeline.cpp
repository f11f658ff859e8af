#include "darkroom/model/pipeline.h"

#include <ATen/ATen.h>

#include <array>
#include <set>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"
#include "darkroom/diffusion/brownian_noise.h"
#include "darkroom/nn/network.h"
#include "model/adaptation.h"
#include "model/branches.h"
#include "model/decoding.h"
#include "model/guidance.h"
#include "model/legs.h"
#include "model/loaded_model.h"
#include "model/prompts.h"
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

// Weights of the prompts that each request is composed of: one batch, one composition.
std::vector<double> weights_of(const std::vector<Request>& requests, const Settings& settings) {
  std::vector<double> common;
  for (const Request& request : requests) {
    std::vector<double> weights;
    for (const WeightedPrompt& prompt : prompts_in(request.prompt, settings))
      weights.push_back(prompt.weight);
    if (&request != &requests.front() && weights != common)
      throw UsageError(request.place + ": prompts of other weights cannot be walked together");
    common = std::move(weights);
  }
  return common;
}

// What is resumed may come from a file, or from another device.
SamplerState moved(SamplerState state, at::Device device) {
  const auto move = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(device);
  };
  move(state.x);
  for (Evaluation& evaluation : state.history) {
    move(evaluation.x);
    move(evaluation.prediction.x0);
    move(evaluation.prediction.eps);
    move(evaluation.prediction.variance);
  }
  return state;
}

// Where a walk begins: at what is resumed, at the requests' own latents, or at noise.
SamplerState start_of(const Settings& settings, const std::vector<Request>& requests, const Walk& walk,
                      SeededNoise& noise, const WalkState* resume, at::Device device) {
  if (resume) {
    noise.restore(resume->streams);
    return moved(resume->sampler, device);
  }
  const double scale = settings.start_step == 0 ? walk.init_scale : 1;
  if (!settings.given_latents) return {noise.draw() * scale};
  std::vector<at::Tensor> images;
  for (const Request& request : requests) images.push_back(request.latents * scale);
  return {at::stack(images).to(device), static_cast<size_t>(settings.start_step)};
}

// Outcome::told of each image, from the inputs of each leg.
std::vector<std::map<std::string, at::Tensor>> told_of(const std::vector<BranchInputs>& inputs,
                                                       size_t images) {
  std::vector<std::map<std::string, at::Tensor>> told(images);
  const auto add = [&](const std::string& half, const std::vector<Tensors>& inputs_of) {
    for (size_t i = 0; i < inputs_of.size(); ++i)
      for (const auto& [role, row] : inputs_of[i]) told[i][half + "-" + role] = row[0];
  };
  for (size_t leg = 0; leg < inputs.size(); ++leg) {
    const std::string whose = leg > 0 ? "refiner-" : "";
    add(whose + "prompt", inputs[leg].prompts.front());
    add(whose + "negative", inputs[leg].negative);
  }
  return told;
}

// The observer sees one walk, whoever makes it.
StepObserver numbered(const StepObserver& observer, const std::vector<Leg>& legs, size_t leg) {
  if (!observer || legs.size() == 1) return observer;
  const auto before = static_cast<int64_t>(legs.front().end);
  const auto after = static_cast<int64_t>(legs.back().end - legs.back().begin);
  const int64_t shift = leg == 0 ? 0 : before - static_cast<int64_t>(legs.back().begin);
  return [&observer, shift, all = before + after](int64_t step, int64_t, const at::Tensor& x) {
    observer(step + shift, all, x);
  };
}

}  // namespace

struct Pipeline::Parts {
  Parts(Manifest manifest, Options o, Diagnostics& d)
      : options(std::move(o)),
        diagnostics(d),
        base(std::move(manifest), options.device, options.precision, diagnostics, offloads_all()) {
    if (options.refiner)
      refiner.emplace(*options.refiner, options.device, options.precision, diagnostics, offloads_all());
    if (options.weaker) {
      weaker.emplace(*options.weaker, options.device, options.precision);
      weaker->check(options.weaker->stages.front().denoiser);
    }
    if (offloads_all()) return;
    for (LoadedModel* model : models()) {
      model->denoiser();
      if (options.offload == Offload::none)
        for (const std::string& name : model->manifest.text_encoders()) model->networks.get(name);
    }
    base.networks.get(base.manifest.output.decoder);
    weaker_denoiser();
  }

  bool offloads_all() const { return options.offload == Offload::all; }
  /// In the order of their legs.
  std::vector<LoadedModel*> models() {
    return refiner ? std::vector<LoadedModel*>{&base, &*refiner} : std::vector<LoadedModel*>{&base};
  }
  /// Null: there is none.
  Network* weaker_denoiser() {
    return weaker ? &weaker->get(options.weaker->stages.front().denoiser) : nullptr;
  }
  const Manifest* refining() const { return refiner ? &refiner->manifest : nullptr; }
  using Files = std::pair<std::vector<Lora>, std::vector<Embedding>>;
  void adapt(const Files& wanted);
  std::vector<BranchInputs> encode(const Settings& settings, const std::vector<Request>& requests);
  std::vector<Outcome> generate(const Settings& settings, const std::vector<Request>& requests,
                                const StepObserver& observer, const WalkState* resume, WalkState* reached);

  Options options;
  Diagnostics& diagnostics;
  LoadedModel base;
  std::optional<LoadedModel> refiner;
  std::optional<Networks> weaker;
  std::optional<Files> adapted = Files();  ///< to these; none: half done
  std::set<std::string> warned;            ///< of these LoRA files
};

// Of LoRAs the refiner has other layers, but it reads the same prompts. The weaker model stays as it is: it
// stands for what is to be avoided.
void Pipeline::Parts::adapt(const Files& wanted) {
  if (adapted == wanted) return;
  const auto& [loras, embeddings] = wanted;
  const auto adaptation = std::make_shared<const Adaptation>(base.manifest, loras, embeddings);
  std::shared_ptr<const Adaptation> refining;
  if (refiner)
    refining = std::make_shared<const Adaptation>(refiner->manifest, std::vector<Lora>(), embeddings);
  adapted.reset();
  base.adapt(adaptation);
  if (refiner) refiner->adapt(refining);
  adapted = wanted;
  for (const Warning& warning : adaptation->warnings())
    if (warned.insert(warning.place).second) diagnostics.warn(warning);
}

// What each model's denoiser is to be told.
std::vector<BranchInputs> Pipeline::Parts::encode(const Settings& settings,
                                                  const std::vector<Request>& requests) {
  std::vector<BranchInputs> inputs;
  for (LoadedModel* model : models()) {
    inputs.push_back(encode_prompts(model->conditioner, model->manifest, settings, requests));
    if (options.offload != Offload::none) model->put_encoders_aside();
  }
  return inputs;
}

Pipeline::Pipeline(Manifest manifest, Options options, Diagnostics& diagnostics)
    : parts_((options.weaker ? check_weaker(manifest, *options.weaker) : void(),
              options.refiner ? check_refiner(manifest, *options.refiner) : void(),
              std::make_unique<Parts>(std::move(manifest), options, diagnostics))) {}

Pipeline::~Pipeline() = default;

const Manifest& Pipeline::manifest() const { return parts_->base.manifest; }

std::vector<Outcome> Pipeline::Parts::generate(const Settings& settings, const std::vector<Request>& requests,
                                               const StepObserver& observer, const WalkState* resume,
                                               WalkState* reached) {
  const std::vector<Leg> legs = legs_of(settings, base.stage(), refiner ? &refiner->stage() : nullptr);
  adapt({settings.loras, settings.embeddings});

  std::vector<uint32_t> seeds;
  for (const Request& request : requests) seeds.push_back(request.seed);
  const std::vector<int64_t> shape = latent_shape(base.manifest, settings);
  const at::TensorOptions type = at::TensorOptions(at::kFloat).device(options.device);
  SeededNoise noise(seeds, shape, find_row<UsageError>("noise dtype", settings.noise_dtype, kNoiseTypes).type,
                    type);
  BrownianNoise path(noise, seeds, shape, type);

  const std::vector<double> weights = weights_of(requests, settings);
  std::vector<BranchInputs> inputs = encode(settings, requests);
  const auto told = told_of(inputs, requests.size());
  Evaluations evaluations;
  SamplerState state = start_of(settings, requests, legs.front().walk, noise, resume, options.device);
  for (size_t i = 0; i < legs.size(); ++i) {
    const Leg& leg = legs[i];
    LoadedModel& model = *models()[i];
    if (i > 0) state = {state.x, leg.begin};
    const BranchedDenoiser denoiser = {
        branches_of(model.denoiser(), weaker_denoiser(), std::move(inputs[i]), evaluations),
        output_kind(model.stage()), weights};
    Denoise denoise = denoiser_of(settings, model.stage(), leg.walk, denoiser);
    if (is_guided(settings))
      denoise = count_saved(std::move(denoise), guided_branches(settings, weights.size()), evaluations);
    state = sample_until(leg.end, find_sampler(settings.sampler), denoise, std::move(state), leg.walk,
                         is_brownian(settings) ? path : static_cast<Noise&>(noise),
                         sampler_options_of(settings), numbered(observer, legs, i));
    if (offloads_all()) model.networks.put_aside(model.stage().denoiser);
  }
  if (offloads_all() && weaker) weaker->put_aside(options.weaker->stages.front().denoiser);

  std::vector<Outcome> outcomes = decode(base.networks.get(base.manifest.output.decoder),
                                         base.manifest.output, state.x, settings, options.vae_slicing);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    outcomes[i].latents = state.x[static_cast<int64_t>(i)];
    outcomes[i].evaluations = evaluations;
    outcomes[i].told = told[i];
  }
  if (offloads_all()) base.networks.put_aside(base.manifest.output.decoder);
  if (reached) *reached = {std::move(state), noise.states()};
  return outcomes;
}

std::vector<Outcome> Pipeline::generate(const Settings& settings, const std::vector<Request>& requests,
                                        const StepObserver& observer, const WalkState* resume,
                                        WalkState* reached) {
  check_settings(settings, parts_->base.manifest, parts_->refining());
  for (const Request& request : requests) {
    check_prompt(settings, request.prompt);
    check_negative_prompt(settings, request.negative_prompt);
  }
  if (settings.autoguided && !parts_->weaker) throw UsageError("autoguidance needs a weaker model");
  try {
    return parts_->generate(settings, requests, observer, resume, reached);
  } catch (const c10::Error& error) {
    throw_libtorch_error("model '" + parts_->base.manifest.name + "'", error);
  }
}

}  // namespace darkroom
