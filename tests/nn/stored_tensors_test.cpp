#include "nn/stored_tensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "darkroom/base/error.h"
#include "darkroom/nn/network.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

struct File {
  const char *file, *network;
  std::vector<std::string> inputs;
};

class Stored : public ::testing::TestWithParam<File> {
 protected:
  const std::filesystem::path path_ = std::filesystem::path(DARKROOM_SOURCE_DIR) / GetParam().file;
};

// emoji's text encoder has compressed records, its decoder large ones; tiny's lie at odd places.
TEST_P(Stored, HoldsWhatLoadingGives) {
  const StoredTensors stored(path_);
  Network network({"network", path_, GetParam().inputs, {"output"}}, at::kCPU, at::kFloat);
  const auto shapes = stored.shapes();
  for (const auto& [name, parameter] : network.parameters()) {
    ASSERT_EQ(shapes.at(name), parameter.sizes().vec()) << name;
    ASSERT_TRUE(at::equal(stored.read(name).to(at::kFloat), parameter)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, Stored,
    ::testing::Values(File{"tests/models/tiny/unet.pt", "unet", {"sample", "timestep", "context"}},
                      File{"tests/models/tiny-v/text.pt", "text", {"ids"}},
                      File{"models/emoji/text.pt", "text", {"ids"}},
                      File{"models/emoji/decoder.pt", "decoder", {"latents"}}));

TEST(StoredTensors, NamesWhatIsNotThere) {
  const StoredTensors stored(DARKROOM_TEST_DATA "/models/tiny/unet.pt");
  try {
    stored.read("conv_in.wait");
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_NE(std::string(error.what()).find("has no tensor 'conv_in.wait'"), std::string::npos)
        << error.what();
  }
}

TEST(StoredTensors, RefusesDamagedFiles) {
  const testing::TemporaryFolder folder;
  std::ifstream whole(DARKROOM_TEST_DATA "/models/tiny/unet.pt", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  for (const double kept : {0.0, 0.5, 0.999}) {
    std::ofstream(folder.path() / "damaged.pt", std::ios::binary)
        << bytes.substr(0, static_cast<size_t>(static_cast<double>(bytes.size()) * kept));
    EXPECT_THROW(StoredTensors(folder.path() / "damaged.pt"), ModelError) << kept;
  }
  EXPECT_THROW(StoredTensors(folder.path() / "gone.pt"), ModelError);
}

}  // namespace
}  // namespace darkroom
