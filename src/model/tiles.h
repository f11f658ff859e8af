#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace darkroom {

/// latents (B, C, h, w) -> pictures (B, 3, factor h, factor w), decoded in squares of `tile` latents (at
/// least 4) that overlap by a quarter, where one fades into the next: memory for one square is enough, and
/// what a decoder's normalisation sees of the whole picture is lost (diffusers: AutoencoderKL.tiled_decode).
at::Tensor decode_tiled(const std::function<at::Tensor(const at::Tensor&)>& decode, const at::Tensor& latents,
                        int64_t tile, int64_t factor);

}  // namespace darkroom
