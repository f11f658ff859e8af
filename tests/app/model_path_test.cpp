#include "app/model_path.h"

#include <gtest/gtest.h>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

const std::filesystem::path kModels = DARKROOM_TEST_DATA "/models";

TEST(ModelPath, IsAPathOrAName) {
  EXPECT_EQ(find_model("tiny", {"/nowhere", kModels}), kModels / "tiny");
  EXPECT_EQ(find_model((kModels / "tiny").string(), {}), kModels / "tiny");
}

TEST(ModelPath, TheFirstFolderThatHoldsTheNameWins) {
  const std::filesystem::path other = std::filesystem::path(testing::TempDir()) / "darkroom_models";
  std::filesystem::create_directories(other);
  std::filesystem::remove(other / "tiny");
  std::filesystem::create_directory_symlink(kModels / "tiny-v", other / "tiny");
  EXPECT_EQ(find_model("tiny", {other, kModels}), other / "tiny");
  EXPECT_EQ(installed_models({other, kModels}).size(), installed_models({kModels}).size());
}

TEST(ModelPath, OffersTheNearestName) {
  try {
    find_model("tinny", {kModels});
    FAIL();
  } catch (const ModelError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("did you mean 'tiny'?"), std::string::npos);
    EXPECT_NE(message.find(kModels.string()), std::string::npos);
  }
  EXPECT_THROW(find_model("./tiny", {kModels}), ModelError);
}

}  // namespace
}  // namespace darkroom
