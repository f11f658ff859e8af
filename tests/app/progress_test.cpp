#include "app/progress.h"

#include <gtest/gtest.h>

namespace darkroom {
namespace {

TEST(ProgressBar, SaysRateAndTimeLeftForPictureAndRun) {
  const ProgressState state{.step = 5,
                            .steps = 20,
                            .first = 3,
                            .last = 4,
                            .pictures = 100,
                            .batch_seconds = 2,
                            .seconds_per_picture = 1.5};
  EXPECT_EQ(progress_bar(state, 200),
            "[#####---------------] step 5/20, 2.5 steps/s, 0:06 left; picture 3-4 of 100, 2:24 left");
}

TEST(ProgressBar, SaysLittleOfASinglePicture) {
  EXPECT_EQ(progress_bar({.steps = 4, .first = 1, .last = 1, .pictures = 1}, 200),
            "[--------------------] step 0/4");
}

TEST(ProgressBar, NeverWraps) {
  const ProgressState state{.step = 1, .steps = 2, .first = 1, .last = 1, .pictures = 9, .batch_seconds = 1};
  EXPECT_EQ(progress_bar(state, 20).size(), 19u);
  EXPECT_EQ(progress_bar(state, 0), "");
}

}  // namespace
}  // namespace darkroom
