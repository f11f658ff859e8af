#include "app/jobs.h"

#include <gtest/gtest.h>

namespace darkroom {
namespace {

class JobsTest : public testing::Test {
 protected:
  JobsTest() : manifest_(read_manifest(DARKROOM_TEST_DATA "/models/tiny")) {
    static_cast<Settings&>(options_) = default_settings(manifest_);
    options_.prompt = "a cat";
  }

  Prompt prompt(size_t line) const {
    return {options_, "p.txt:" + std::to_string(line), line, nlohmann::json::object(), {}};
  }

  Jobs make(const std::vector<Prompt>& prompts, const std::string& name = Options().name, uint32_t seed = 7) {
    return make_jobs(prompts, seed, manifest_, nullptr, {"out", name});
  }

  Manifest manifest_;
  Options options_;
};

TEST_F(JobsTest, EachPictureOfAPromptHasTheNextSeed) {
  options_.batch_count = 3;
  const Jobs made = make({prompt(1)}, Options().name, 0xfffffffe);
  ASSERT_EQ(made.jobs.size(), 3u);
  EXPECT_EQ(made.jobs[0].options.seed, 0xfffffffe);
  EXPECT_EQ(made.jobs[1].options.seed, 0xffffffff);
  EXPECT_EQ(made.jobs[2].options.seed, 0);
  EXPECT_EQ(made.jobs[1].file, "out/00001-a-cat-4294967295.png");
}

TEST_F(JobsTest, ALineWithoutASeedHasTheRunsSeed) {
  std::vector<Prompt> prompts = {prompt(1), prompt(2), prompt(3)};
  prompts[1].options.seed = 100;
  const Jobs made = make(prompts);
  EXPECT_EQ(made.jobs[0].options.seed, 7);
  EXPECT_EQ(made.jobs[1].options.seed, 100);
  EXPECT_EQ(made.jobs[2].options.seed, 7);
}

TEST_F(JobsTest, ABadLineKeepsItsIndexSoThatMendingItRenamesNothing) {
  std::vector<Prompt> prompts = {prompt(1), prompt(2), prompt(3)};
  prompts[0].fault = "not JSON";
  prompts[1].options.width = 17;
  const Jobs made = make(prompts);
  ASSERT_EQ(made.jobs.size(), 1u);
  EXPECT_EQ(made.jobs[0].index, 2);
  ASSERT_EQ(made.failures.size(), 2u);
  EXPECT_EQ(made.failures[0].message, "not JSON");
  EXPECT_EQ(made.failures[0].place, "p.txt:1");
  EXPECT_NE(made.failures[1].message.find("17"), std::string::npos);
}

TEST_F(JobsTest, NoFileIsWrittenTwice) {
  EXPECT_THROW(make({prompt(1), prompt(2)}, "{slug}.png"), UsageError);
  EXPECT_NO_THROW(make({prompt(1), prompt(2)}, "{slug}-{line}.png"));
  options_.batch_count = 2;
  EXPECT_THROW(make({prompt(1)}, "x.png"), UsageError);
}

TEST_F(JobsTest, IdsNameFiles) {
  std::vector<Prompt> prompts = {prompt(1), prompt(2)};
  prompts[0].extras["id"] = "../Cat";
  prompts[1].extras["id"] = 12;
  const Jobs made = make(prompts, "{id}.png");
  EXPECT_EQ(made.jobs[0].file, "out/cat.png");
  EXPECT_EQ(made.jobs[1].file, "out/12.png");
}

TEST_F(JobsTest, BatchesHoldEqualSettings) {
  std::vector<Prompt> prompts;
  for (size_t line = 1; line <= 5; ++line) {
    prompts.push_back(prompt(line));
    prompts.back().options.steps = line == 2 ? 9 : 3;
    prompts.back().options.prompt = "prompt " + std::to_string(line);
  }
  const auto batches = make_batches(make(prompts).jobs, 2);
  ASSERT_EQ(batches.size(), 3u);
  std::vector<std::vector<size_t>> lines;
  for (const auto& batch : batches) {
    lines.emplace_back();
    for (const Job& job : batch) lines.back().push_back(job.line);
  }
  EXPECT_EQ(lines, (std::vector<std::vector<size_t>>{{1, 3}, {2}, {4, 5}}));
}

TEST_F(JobsTest, AdaptiveSamplersWalkEachPictureAlone) {
  std::vector<Prompt> prompts = {prompt(1), prompt(2)};
  for (Prompt& each : prompts) each.options.sampler = "ode";
  EXPECT_EQ(make_batches(make(prompts).jobs, 2).size(), 2u);
}

}  // namespace
}  // namespace darkroom
