#include "app/command_line.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "app/config_file.h"
#include "darkroom/base/error.h"

namespace darkroom {
namespace {

std::string message(const std::vector<std::string>& words) {
  try {
    parse_command_line(words);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(CommandLine, ReadsPromptAndOptions) {
  const Options options = parse_command_line({"a red apple", "-W", "64", "--height=32", "--cfg-scale", "7.5",
                                              "-s", "5", "--sampler", "ddpm", "--json", "-q"});
  EXPECT_EQ(options.prompt, "a red apple");
  EXPECT_EQ(options.width, 64);
  EXPECT_EQ(options.height, 32);
  EXPECT_DOUBLE_EQ(options.cfg_scale, 7.5);
  EXPECT_EQ(options.seed, 5);
  EXPECT_EQ(options.sampler, "ddpm");
  EXPECT_TRUE(options.json);
  EXPECT_TRUE(options.quiet);
  EXPECT_FALSE(options.force);
}

TEST(CommandLine, LeavesTheRestToTheModel) {
  Settings defaults;
  defaults.width = 64;
  defaults.cfg_scale = 7;
  defaults.clip_sample = 1;
  const Options options = parse_command_line({"x", "--cfg-scale", "1", "--clip-sample", "0"}, defaults);
  EXPECT_EQ(options.width, 64);
  EXPECT_DOUBLE_EQ(options.cfg_scale, 1);
  EXPECT_EQ(options.clip_sample, 0);  // off, whatever the model says
  EXPECT_FALSE(options.negative_prompt.has_value());
  EXPECT_EQ(options.seed, -1);
  EXPECT_EQ(options.model, "emoji");
}

TEST(CommandLine, TakesPromptsAsTheyAre) {
  for (const char* prompt : {"", "-", "[a, b]", "a, b", "100% {x}", "\"quoted\"", "line\nline", "\xff\xfe"}) {
    EXPECT_EQ(parse_command_line({prompt}).prompt, prompt);
    EXPECT_EQ(parse_command_line({"-p", prompt}).prompt, prompt);
    EXPECT_EQ(parse_command_line({"x", "-n", prompt}).negative_prompt, prompt);
  }
  EXPECT_EQ(parse_command_line({"-p", "--steps"}).prompt, "--steps");
  EXPECT_EQ(parse_command_line({"--", "--steps"}).prompt, "--steps");
}

TEST(CommandLine, KnowsTheWordsOfOtherPrograms) {
  EXPECT_EQ(parse_command_line({"--sampling-method", "ddim"}).sampler, "ddim");
  EXPECT_EQ(parse_command_line({"--scheduler", "trailing"}).schedule, "trailing");
  EXPECT_EQ(parse_command_line({"--noise-dtype", "float16"}).noise_dtype, "fp16");
  EXPECT_EQ(parse_command_line({"--sampler", "DDIM"}).sampler, "ddim");
}

TEST(CommandLine, TheLastOfARepeatedOptionHolds) {
  EXPECT_EQ(parse_command_line({"-s", "-1", "--seed", "7"}).seed, 7);
}

TEST(CommandLine, NamesTheOptionAtFault) {
  EXPECT_EQ(message({"x", "--steps", "20x"}), "--steps: '20x' is not a whole number (allowed: 1 to 1000)");
  EXPECT_EQ(message({"x", "--steps", "-1"}), "--steps: -1 is out of range (allowed: 1 to 1000)");
  EXPECT_EQ(message({"x", "-W", "100000"}), "--width: 100000 is out of range (allowed: 8 to 16384)");
  EXPECT_NE(message({"x", "--sampler", "dddim"}).find("did you mean 'ddim'?"), std::string::npos);
  EXPECT_EQ(message({"x", "--stpes", "20"}),
            "unknown option '--stpes'; did you mean '--steps'? (see 'darkroom --help')");
  EXPECT_EQ(message({"red", "apple"}), "unexpected 'apple'; put quotes around a prompt of several words");
  EXPECT_NE(message({"red", "-p", "apple"}).find("two prompts"), std::string::npos);
  EXPECT_NE(message({"red", "--steps"}).find("--steps"), std::string::npos);
}

TEST(OptionTable, HasNoNameTwice) {
  std::set<std::string> seen;
  for (const Option& option : option_table()) {
    EXPECT_TRUE(seen.insert(option.name).second) << option.name;
    for (const std::string& alias : option.aliases) EXPECT_TRUE(seen.insert(alias).second) << alias;
    if (option.letter) {
      EXPECT_TRUE(seen.insert(std::string(1, option.letter)).second) << option.letter;
    }
    EXPECT_NE(help_text().find("--" + option.name), std::string::npos);
  }
}

TEST(OptionTable, WhatIsSetIsRead) {
  Options options;
  for (const Option& option : option_table()) {
    const bool flag = std::holds_alternative<bool Options::*>(option.field);
    const std::string text = flag              ? "true"
                             : option.choices  ? option.choices().back().name
                             : option.high > 0 ? std::to_string(static_cast<int64_t>(option.high))
                                               : "text";
    set_option(options, option, text, option.name);
    const nlohmann::json value = option_value(options, option);
    if (std::holds_alternative<std::vector<Lora> Options::*>(option.field))
      EXPECT_EQ(value, nlohmann::json({text + ":1"})) << option.name;
    else if (is_repeated(option))
      EXPECT_EQ(value, nlohmann::json({text})) << option.name;
    else if (value.is_array())
      EXPECT_EQ(value, nlohmann::json({option.high})) << option.name;
    else if (value.is_number())
      EXPECT_EQ(value.get<double>(), option.high) << option.name;
    else
      EXPECT_EQ(value, flag ? nlohmann::json(true) : nlohmann::json(text)) << option.name;
  }
}

TEST(OptionTable, KeysAreFoundAsPeopleWriteThem) {
  for (const char* key : {"cfg-scale", "cfg_scale", "CFG Scale", "guidance_scale"}) {
    ASSERT_NE(find_option(key), nullptr) << key;
    EXPECT_EQ(find_option(key)->key(), "cfg_scale");
  }
  EXPECT_EQ(find_option("category"), nullptr);
}

class Config : public testing::Test {
 protected:
  std::string written(const std::string& text) {
    const std::string file = testing::TempDir() + "darkroom_config_test.conf";
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
};

TEST_F(Config, SetsWhatTheCommandLineLeavesOpen) {
  const std::string file =
      written("# mine\r\nsteps = 12\n\n negative-prompt = \"blurry, dark\"\njson=true\nseed = 3\n");
  const Options options = parse_command_line({"x", "--seed", "4", "--config", file});
  EXPECT_EQ(options.steps, 12);
  EXPECT_EQ(options.negative_prompt, "blurry, dark");
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.seed, 4);
}

TEST_F(Config, NamesFileAndLine) {
  const std::string steps = written("seed = 1\nsteps = 0\n");
  EXPECT_EQ(message({"--config", steps}), steps + ":2: steps: 0 is out of range (allowed: 1 to 1000)");
  EXPECT_NE(
      message({"--config", written("\nstep = 3\n")}).find(":2: unknown option 'step'; did you mean 'steps'?"),
      std::string::npos);
  EXPECT_NE(message({"--config", written("steps\n")}).find(":1: 'steps' is not 'option = value'"),
            std::string::npos);
  EXPECT_NE(message({"--config", written("json = yes\n")}).find("'yes' is neither true nor false"),
            std::string::npos);
  EXPECT_NE(message({"--config", written("help = true\n")}).find("unknown option 'help'"), std::string::npos);
}

TEST(ShellLine, QuotesWhatAShellWouldRead) {
  EXPECT_EQ(shell_line({"darkroom", "a cat's $5 hat", "", "-o", "out/x.png", "é"}),
            "darkroom 'a cat'\\''s $5 hat' '' -o out/x.png 'é'");
}

}  // namespace
}  // namespace darkroom
