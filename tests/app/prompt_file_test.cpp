#include "app/prompt_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

class PromptFile : public testing::Test {
 protected:
  /// The prompts of a file of this name and content.
  std::vector<Prompt> read(const std::string& name, const std::string& bytes, const Options& base = {}) {
    const std::filesystem::path file = testing::TempDir() + name;
    std::ofstream(file, std::ios::binary) << bytes;
    return read_prompt_file(file, base);
  }

  std::string refusal(const std::string& name, const std::string& bytes) {
    try {
      read(name, bytes);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(PromptFile, TextHasAPromptALine) {
  const auto prompts = read("p.txt", "\xEF\xBB\xBF# heading\r\na cat\r\n\r\n  a dog \n");
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].options.prompt, "a cat");
  EXPECT_EQ(prompts[0].line, 2u);
  EXPECT_EQ(prompts[1].options.prompt, "a dog");
  EXPECT_TRUE(prompts[1].place.ends_with("p.txt:4"));
}

TEST_F(PromptFile, JsonLinesSetOptionsAndKeepTheOtherKeys) {
  Options base;
  base.steps = 9;
  base.seed = 3;
  const auto prompts =
      read("p.jsonl",
           "{\"prompt\": \"a cat\", \"negative_prompt\": \"dog\", \"steps\": 5, \"cfg_scale\": 2.5,"
           " \"tag\": \"single\", \"include\": [{\"class\": \"cat\", \"count\": 1}]}\n"
           "{\"prompt\": \"\", \"seed\": \"7\", \"batch_count\": 2, \"width\": null}\n",
           base);
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].fault, "");
  EXPECT_EQ(prompts[0].options.negative_prompt, "dog");
  EXPECT_EQ(prompts[0].options.steps, 5);
  EXPECT_DOUBLE_EQ(prompts[0].options.cfg_scale, 2.5);
  EXPECT_EQ(prompts[0].options.seed, 3);
  EXPECT_EQ(prompts[0].extras.dump(), R"({"include":[{"class":"cat","count":1}],"tag":"single"})");
  EXPECT_EQ(prompts[1].options.prompt, "");
  EXPECT_EQ(prompts[1].options.seed, 7);
  EXPECT_EQ(prompts[1].options.batch_count, 2);
  EXPECT_EQ(prompts[1].options.steps, 9);
}

TEST_F(PromptFile, ABadJsonLineLeavesTheOthers) {
  const auto prompts =
      read("p.jsonl",
           "{\"prompt\": \"a\"}\n{\"prompt\": \n[1]\n{\"steps\": 3}\n{\"promt\": \"x\"}\n"
           "{\"prompt\": \"x\", \"steps\": \"20x\"}\n{\"prompt\": \"x\", \"model\": \"sd\"}\n"
           "{\"prompt\": \"x\", \"steps\": [1]}\n{\"prompt\": \"\xff\"}\n{\"prompt\": \"b\"}\n");
  ASSERT_EQ(prompts.size(), 10u);
  EXPECT_EQ(prompts[0].fault, "");
  EXPECT_TRUE(prompts[1].fault.starts_with("not JSON (column "));
  EXPECT_EQ(prompts[2].fault, "not a JSON object");
  EXPECT_EQ(prompts[3].fault, "no key 'prompt'");
  EXPECT_EQ(prompts[4].fault, "no key 'prompt'; is it 'promt'?");
  EXPECT_EQ(prompts[5].fault, "steps: '20x' is not a whole number (allowed: 1 to 1000)");
  EXPECT_EQ(prompts[6].fault, "model: may be set for the whole run only, with --model");
  EXPECT_EQ(prompts[7].fault, "steps: [1] is neither a text nor a number");
  EXPECT_TRUE(prompts[8].fault.starts_with("not JSON (column "));
  EXPECT_EQ(prompts[9].fault, "");
  EXPECT_EQ(prompts[9].line, 10u);
}

TEST_F(PromptFile, CsvQuotesFollowRfc4180) {
  const auto prompts =
      read("p.csv",
           "Prompt,Steps,Note\r\n\"a cat, \"\"big\"\"\",5,x\r\n\"two\r\nlines\",,\r\n\r\nplain,6,\r\n"
           "a,b,c,d\r\nbad,abc,\r\n\"open,1,\r\n");
  ASSERT_EQ(prompts.size(), 6u);
  EXPECT_EQ(prompts[0].options.prompt, "a cat, \"big\"");
  EXPECT_EQ(prompts[0].options.steps, 5);
  EXPECT_EQ(prompts[0].extras.dump(), R"({"Note":"x"})");
  EXPECT_EQ(prompts[1].options.prompt, "two\r\nlines");
  EXPECT_EQ(prompts[1].options.steps, 0);
  EXPECT_EQ(prompts[2].line, 6u);
  EXPECT_EQ(prompts[3].fault, "4 cells where the header names 3");
  EXPECT_EQ(prompts[4].fault, "Steps: 'abc' is not a whole number (allowed: 1 to 1000)");
  EXPECT_EQ(prompts[5].fault, "a quote is never closed");
}

TEST_F(PromptFile, PartiPromptsOpensAsItIs) {
  const auto prompts = read("PartiPrompts.tsv",
                            "Prompt\tCategory\tChallenge\tNote\r\n"
                            "a sign that says \"Hello\tWorld & Places\tWriting & Symbols\t\r\n"
                            "bond\tAbstract\tBasic\tBiology-inspired concepts\r\n");
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].options.prompt, "a sign that says \"Hello");
  EXPECT_EQ(prompts[1].extras["Note"], "Biology-inspired concepts");
  EXPECT_EQ(prompts[1].line, 3u);
}

TEST_F(PromptFile, RefusesAFileThatIsWrongAsAWhole) {
  EXPECT_NE(refusal("empty.txt", "").find("holds no prompt"), std::string::npos);
  EXPECT_NE(refusal("comments.txt", "# only\n\n").find("holds no prompt"), std::string::npos);
  EXPECT_NE(refusal("header.csv", "prompt,x\n").find("holds no prompt"), std::string::npos);
  EXPECT_NE(refusal("nohead.csv", "a cat,a dog\nx,y\n").find("names no column 'prompt'"), std::string::npos);
  EXPECT_NE(refusal("p.docx", "x").find("allowed: .txt, .jsonl, .csv, .tsv"), std::string::npos);
  EXPECT_NE(refusal("ids.jsonl",
                    "{\"prompt\":\"a\",\"id\":1}\n{\"prompt\":\"b\",\"id\":2}\n{\"prompt\":\"c\",\"id\":1}\n")
                .find("lines 1 and 3 have the same id 1"),
            std::string::npos);
  EXPECT_THROW(read_prompt_file(testing::TempDir() + "nothing-here.txt", {}), UsageError);
  std::filesystem::create_directories(testing::TempDir() + "folder.txt");
  EXPECT_THROW(read_prompt_file(testing::TempDir() + "folder.txt", {}), UsageError);
}

}  // namespace
}  // namespace darkroom
