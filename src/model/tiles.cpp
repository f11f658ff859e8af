#include "model/tiles.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

namespace darkroom {
namespace {

constexpr int64_t kRows = 2, kColumns = 3;

// The end of `before` fades into the start of `square`, whose other end it leaves.
void fade(const at::Tensor& before, const at::Tensor& square, int64_t dimension, int64_t extent) {
  const int64_t length = std::min({extent, before.size(dimension), square.size(dimension)});
  std::vector<int64_t> shape(4, 1);
  shape[static_cast<size_t>(dimension)] = length;
  const at::Tensor share = (at::arange(length, square.options()) / static_cast<double>(length)).view(shape);
  const at::Tensor start = square.narrow(dimension, 0, length);
  const at::Tensor end = before.narrow(dimension, before.size(dimension) - length, length);
  start.copy_(at::lerp(end, start, share));
}

}  // namespace

at::Tensor decode_tiled(const std::function<at::Tensor(const at::Tensor&)>& decode, const at::Tensor& latents,
                        int64_t tile, int64_t factor) {
  const int64_t height = latents.size(kRows), width = latents.size(kColumns);
  if (height <= tile && width <= tile) return decode(latents);
  const int64_t stride = tile * 3 / 4, extent = tile * factor / 4, kept = tile * factor - extent;
  at::Tensor picture;
  std::vector<at::Tensor> above, row;
  for (int64_t y = 0; y < height; y += stride) {
    row.clear();
    for (int64_t x = 0; x < width; x += stride) {
      const at::Tensor part =
          latents.narrow(kRows, y, std::min(tile, height - y)).narrow(kColumns, x, std::min(tile, width - x));
      at::Tensor square = decode(part).clone();
      if (!above.empty()) fade(above[row.size()], square, kRows, extent);
      if (!row.empty()) fade(row.back(), square, kColumns, extent);
      if (!picture.defined())
        picture =
            at::empty({square.size(0), square.size(1), height * factor, width * factor}, square.options());
      const int64_t rows = std::min(kept, square.size(kRows)),
                    columns = std::min(kept, square.size(kColumns));
      picture.narrow(kRows, y * factor, rows)
          .narrow(kColumns, x * factor, columns)
          .copy_(square.narrow(kRows, 0, rows).narrow(kColumns, 0, columns));
      row.push_back(std::move(square));
    }
    above.swap(row);
  }
  return picture;
}

}  // namespace darkroom
