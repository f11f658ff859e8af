#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace darkroom {

/// Where samplers get their noise. A draw advances the stream even where it is multiplied by zero.
class Noise {
 public:
  virtual ~Noise() = default;

  /// Unit normal noise of the shape, dtype and device of x.
  virtual at::Tensor draw() = 0;

  /// The same for a step between two noise levels, sigma/alpha. Brownian noise makes it the increment of one
  /// path over the step, divided by its deviation, so that shorter steps refine what longer ones saw.
  virtual at::Tensor draw_over(double /*from*/, double /*to*/) { return draw(); }
};

/// One stream per image, each from the image's own seed and equal to
/// torch.Generator("cpu").manual_seed(seed), so an image's noise is the same in every batch. Drawn on the CPU
/// whatever the device (diffusers: randn_tensor with a list of generators), one draw ahead and from pinned
/// memory, so that a GPU never waits for it.
class SeededNoise : public Noise {
 public:
  /// `shape` is one image's, without the batch. `drawn` is the dtype of the draw: float16 and bfloat16 use
  /// the stream differently and give other pictures. `like` sets the dtype and device of the result.
  SeededNoise(const std::vector<uint32_t>& seeds, std::vector<int64_t> shape, at::ScalarType drawn,
              at::TensorOptions like);

  at::Tensor draw() override;

  /// Where each image's next draw begins in its stream: bytes that a stream of any seed can be set to.
  std::vector<at::Tensor> states() const;
  void restore(const std::vector<at::Tensor>& states);

 private:
  /// A draw on its way to the device.
  struct Ahead {
    std::vector<at::Tensor> states;  ///< of the streams before it
    at::Tensor noise;
  };
  Ahead upload();
  std::vector<at::Tensor> streams() const;

  std::vector<at::Generator> generators_;
  std::optional<Ahead> next_;
  std::vector<int64_t> shape_;
  at::ScalarType drawn_;
  at::TensorOptions like_;
};

}  // namespace darkroom
