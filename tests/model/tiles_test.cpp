#include "model/tiles.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "darkroom/data/safetensors.h"
#include "model/load.h"
#include "support/golden.h"

namespace darkroom {
namespace {

// tests/goldens/record_tiles.py
TEST(Tiles, AgreeWithDiffusers) {
  const Safetensors file(DARKROOM_TEST_DATA "/goldens/tiles.safetensors");
  const auto golden = [&](const std::string& key) { return testing::tensor_of(file.at(key)); };
  const Manifest manifest = read_manifest(DARKROOM_TEST_DATA "/models/tiny");
  Network decoder = load_network(manifest, manifest.output.decoder, at::kCPU, at::kFloat);
  const auto decode = [&](const at::Tensor& part) { return decoder.run({{"latents", part}}).at("image"); };
  const nlohmann::json tiles = nlohmann::json::parse(file.metadata().at("tiles"));
  for (const auto& [name, tile] : tiles.items()) {
    const at::Tensor picture = decode_tiled(decode, golden(name + "/latents"), tile, manifest.output.factor);
    EXPECT_LE(testing::worst_difference(picture, golden(name + "/image")), 1e-5) << name;
    const at::Tensor seams = picture - golden(name + "/whole");
    std::printf("%s: in tiles %.1e (root mean square) from at once\n", name.c_str(),
                seams.square().mean().sqrt().item<double>());
    const double largest = seams.abs().max().item<double>();
    EXPECT_EQ(name == "one", largest == 0) << name;
  }
  EXPECT_EQ(tiles.size(), 3);
}

// A decoder that looks at one latent at a time has no seams, wherever the tiles end.
TEST(Tiles, OfALocalDecoderAreThePicture) {
  const at::Tensor latents = at::arange(17 * 23, at::kFloat).view({1, 1, 17, 23}).expand({1, 3, 17, 23});
  const auto decode = [](const at::Tensor& part) {
    return part.repeat_interleave(2, 2).repeat_interleave(2, 3);
  };
  for (const int64_t tile : {4, 8, 12, 16, 20, 24, 40})
    EXPECT_TRUE(decode_tiled(decode, latents, tile, 2).allclose(decode(latents))) << tile;
}

}  // namespace
}  // namespace darkroom
