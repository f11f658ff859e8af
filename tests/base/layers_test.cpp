// Reads the sources and checks the rules about layers that the compiler cannot check.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

namespace {

namespace fs = std::filesystem;

/// Each may include those before it, never those after it.
constexpr std::array<const char*, 8> kLayers = {"base",      "data", "text",  "image",
                                                "diffusion", "nn",   "model", "app"};

/// Place of a layer in kLayers; kLayers.size() for any other folder.
size_t place_of(const std::string& layer) {
  return static_cast<size_t>(std::find(kLayers.begin(), kLayers.end(), layer) - kLayers.begin());
}

/// What is wrong with a line of a file of this layer; "" if nothing is.
std::string fault(const std::string& layer, const std::string& line) {
  static const std::regex include(R"re(^\s*#\s*include\s*[<"]([^>"]+)[>"])re");
  static const std::regex own(R"re(^(?:darkroom/)?(\w+)/.+)re");
  static const std::regex tensors(R"re(^(ATen|torch|c10)/.*)re");
  static const std::regex speaks(
      R"re(\b(_exit|_Exit|exit|quick_exit|abort|printf|fprintf|vprintf|vfprintf|puts|fputs|perror)\s*\()re"
      R"re(|std::(cout|cerr|clog)\b)re");
  std::smatch match;
  if (std::regex_search(line, match, include)) {
    const std::string header = match[1];
    if (std::regex_match(header, match, own) && place_of(match[1]) < kLayers.size() &&
        place_of(match[1]) > place_of(layer))
      return "includes a layer below its own";
    if (header == "torch/script.h" && layer != "nn") return "only nn/ includes torch/script.h";
    if (std::regex_match(header, tensors) && place_of(layer) < place_of("diffusion"))
      return "includes libtorch in a layer without tensors";
    return "";
  }
  const std::string code = line.substr(0, line.find("//"));
  if (layer != "app" && std::regex_search(code, speaks)) return "prints or ends the process outside app/";
  return "";
}

TEST(Layers, EverySourceKeepsTheRules) {
  int files = 0;
  for (const char* top : {"src", "include/darkroom"}) {
    const fs::path root = fs::path(DARKROOM_SOURCE_DIR) / top;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
      if (entry.path().extension() != ".h" && entry.path().extension() != ".cpp") continue;
      const fs::path relative = fs::relative(entry.path(), root);
      const std::string layer = relative.begin()->string();
      EXPECT_LT(place_of(layer), kLayers.size()) << relative << " lies in no layer";
      std::ifstream stream(entry.path());
      std::string line;
      for (int number = 1; std::getline(stream, line); ++number) {
        const std::string wrong = fault(layer, line);
        EXPECT_TRUE(wrong.empty()) << top << "/" << relative.string() << ":" << number << ": " << wrong
                                   << ": " << line;
      }
      ++files;
    }
  }
  EXPECT_GT(files, 20);
}

TEST(Layers, TheRulesFindOffenders) {
  EXPECT_NE(fault("base", "#include \"darkroom/model/pipeline.h\""), "");
  EXPECT_NE(fault("image", "#include \"nn/device.h\""), "");
  EXPECT_NE(fault("diffusion", "# include <darkroom/nn/network.h>"), "");
  EXPECT_NE(fault("model", "#include <torch/script.h>"), "");
  EXPECT_NE(fault("text", "#include <ATen/ATen.h>"), "");
  EXPECT_NE(fault("data", "#include <c10/util/Half.h>"), "");
  EXPECT_NE(fault("model", "  std::exit(2);"), "");
  EXPECT_NE(fault("nn", "  std::cerr << \"hello\";"), "");
  EXPECT_NE(fault("diffusion", "  fprintf(stderr, \"hello\");"), "");
}

TEST(Layers, TheRulesLetTheOthersPass) {
  EXPECT_EQ(fault("app", "#include \"darkroom/model/pipeline.h\""), "");
  EXPECT_EQ(fault("app", "  std::exit(2);"), "");
  EXPECT_EQ(fault("nn", "#include <torch/script.h>"), "");
  EXPECT_EQ(fault("diffusion", "#include <ATen/ATen.h>"), "");
  EXPECT_EQ(fault("image", "#include \"darkroom/base/error.h\""), "");
  EXPECT_EQ(fault("base", "#include \"base/cause.h\""), "");
  EXPECT_EQ(fault("base", "#include <sys/stat.h>"), "");
  EXPECT_EQ(fault("base", "  std::snprintf(text, 9, \"%d\", 1);  // not exit(1)"), "");
}

}  // namespace
