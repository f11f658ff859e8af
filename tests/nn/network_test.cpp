// Networks of tests/models against the originals' outputs, recorded by tests/goldens/pipeline_record.py.
#include "darkroom/nn/network.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "darkroom/base/error.h"
#include "support/golden.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

using testing::tensor_of;
using testing::worst_difference;

const Safetensors& goldens() {
  static const Safetensors file(DARKROOM_TEST_DATA "/goldens/pipeline_networks.safetensors");
  return file;
}

NetworkSpec spec_of(const std::string& model, const std::string& name) {
  using Roles = std::vector<std::string>;
  static const std::map<std::string, std::pair<Roles, Roles>> kRoles = {
      {"text", {{"ids"}, {"hidden", "layers"}}},
      {"unet", {{"sample", "timestep", "context"}, {"prediction"}}},
      {"decoder", {{"latents"}, {"image"}}}};
  const auto& [inputs, outputs] = kRoles.at(name);
  return {name, DARKROOM_TEST_DATA "/models/" + model + "/" + name + ".pt", inputs, outputs};
}

/// The recorded inputs or outputs of one call.
Tensors recorded(const std::string& key, const std::vector<std::string>& roles) {
  Tensors tensors;
  for (const std::string& role : roles) tensors[role] = tensor_of(goldens().at(key + "/" + role));
  return tensors;
}

Tensors unet_inputs(int batch) {
  return recorded("tiny.unet." + std::to_string(batch), {"sample", "timestep", "context"});
}

Network load_unet(at::ScalarType precision = at::kFloat) {
  return Network(spec_of("tiny", "unet"), at::kCPU, precision);
}

/// The message of the ModelError that the call throws.
template <class Call>
std::string model_error(const Call& call) {
  try {
    call();
  } catch (const ModelError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no ModelError";
  return "";
}

#define EXPECT_SAYS(message, words) EXPECT_NE((message).find(words), std::string::npos) << (message)

class Exported : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  const std::string model_ = std::get<0>(GetParam()), name_ = std::get<1>(GetParam());
  const NetworkSpec spec_ = spec_of(model_, name_);

  /// Key of the recorded call at this batch; each has another size, some of them odd.
  std::string key(int batch) const { return model_ + "." + name_ + "." + std::to_string(batch); }
};

TEST_P(Exported, EqualsTheOriginalAtFp32) {
  Network network(spec_, at::kCPU, at::kFloat);
  for (int batch = 1; batch <= 3; ++batch) {
    const Tensors wanted = recorded(key(batch), spec_.outputs);
    const Tensors outputs = network.run(recorded(key(batch), spec_.inputs));
    ASSERT_EQ(outputs.size(), wanted.size());
    for (const auto& [role, tensor] : wanted) {
      EXPECT_EQ(outputs.at(role).sizes(), tensor.sizes());
      EXPECT_LE(worst_difference(outputs.at(role), tensor), 1e-5) << key(batch) << ' ' << role;
    }
  }
}

TEST_P(Exported, IsNearTheOriginalAtBf16) {
  Network network(spec_, at::kCPU, at::kBFloat16);
  for (int batch = 1; batch <= 3; ++batch) {
    const at::Tensor wanted = recorded(key(batch), spec_.outputs).begin()->second;
    const at::Tensor output = network.run(recorded(key(batch), spec_.inputs)).at(spec_.outputs[0]);
    EXPECT_EQ(output.scalar_type(), at::kBFloat16);
    const double relative = ((output.to(at::kFloat) - wanted).norm() / wanted.norm()).item<double>();
    EXPECT_LE(relative, 0.1) << key(batch);
    EXPECT_GT(relative, 1e-5) << "this cannot have been computed at bf16";
  }
}

TEST_P(Exported, KeepsTheStateDictsNamesAndShapes) {
  const auto wanted = nlohmann::json::parse(goldens().metadata().at("parameters"))
                          .at(model_ + "." + name_)
                          .get<std::map<std::string, std::vector<int64_t>>>();
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const auto& [name, parameter] : Network(spec_, at::kCPU, at::kFloat).parameters())
    shapes[name] = parameter.sizes().vec();
  EXPECT_EQ(shapes, wanted);
}

INSTANTIATE_TEST_SUITE_P(Models, Exported,
                         ::testing::Combine(::testing::Values("tiny", "tiny-v"),
                                            ::testing::Values("text", "unet", "decoder")));

TEST(Network, ComputesEachPictureOfABatchAlone) {
  Network network = load_unet();
  const Tensors inputs = unet_inputs(3);
  const at::Tensor together = network.run(inputs).at("prediction");
  for (int64_t i = 0; i < 3; ++i) {
    Tensors one;
    for (const auto& [role, tensor] : inputs) one[role] = tensor.narrow(0, i, 1);
    EXPECT_LE(worst_difference(together.narrow(0, i, 1), network.run(one).at("prediction")), 1e-5);
  }
}

TEST(Network, KeepsTheTimestepInFloat32) {
  Network network = load_unet(at::kBFloat16);
  Tensors inputs = unet_inputs(1);
  inputs["timestep"].fill_(999);  // 999 and 998 are both 1000 in bfloat16
  const at::Tensor one = network.run(inputs).at("prediction").clone();
  inputs["timestep"].fill_(998);
  EXPECT_FALSE(at::equal(one, network.run(inputs).at("prediction")));
}

TEST(Network, KeepsTheGraphOnlyWhenAsked) {
  Network network = load_unet();
  Tensors inputs = unet_inputs(1);
  inputs["sample"].requires_grad_(true);
  EXPECT_FALSE(network.run(inputs).at("prediction").requires_grad());
  network.run(inputs, /*grad=*/true).at("prediction").sum().backward();
  EXPECT_GT(inputs["sample"].grad().abs().sum().item<double>(), 0);
}

TEST(Network, TakesInputsOfAnyFloatingDtype) {
  Network network = load_unet();
  Tensors inputs = unet_inputs(1);
  const at::Tensor wanted = network.run(inputs).at("prediction").clone();
  for (auto& [role, tensor] : inputs) tensor = tensor.to(at::kDouble);
  EXPECT_TRUE(at::equal(network.run(inputs).at("prediction"), wanted));
}

TEST(Network, NamesAMissingRole) {
  Network network = load_unet();
  Tensors inputs = unet_inputs(1);
  inputs.erase("context");
  const std::string message = model_error([&] { network.run(inputs); });
  EXPECT_SAYS(message, "network 'unet'");
  EXPECT_SAYS(message, "unet.pt");
  EXPECT_SAYS(message, "input 'context' is missing");
}

TEST(Network, NamesARoleItDoesNotHave) {
  Network network = load_unet();
  Tensors inputs = unet_inputs(1);
  inputs["pooled"] = at::zeros({1, 8});
  EXPECT_SAYS(model_error([&] { network.run(inputs); }), "has no input 'pooled'");
}

TEST(Network, NamesTheShapesItRefuses) {
  Network network = load_unet();
  Tensors inputs = unet_inputs(1);
  inputs["sample"] = at::zeros({1, 3, 8, 8});
  const std::string message = model_error([&] { network.run(inputs); });
  EXPECT_SAYS(message, "network 'unet'");
  EXPECT_SAYS(message, "sample [1, 3, 8, 8] Float");
  EXPECT_SAYS(message, "to have 4 channels, but got 3 channels");
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_EQ(message.find("Traceback"), std::string::npos) << message;
}

TEST(Network, ChecksTheDeclaredRolesAgainstTheFile) {
  NetworkSpec spec = spec_of("tiny", "unet");
  spec.inputs = {"sample", "context"};
  EXPECT_SAYS(model_error([&] { Network(spec, at::kCPU, at::kFloat); }),
              "takes 3 inputs, but 2 are declared");
  spec = spec_of("tiny", "unet");
  spec.outputs = {"prediction", "variance"};
  Network network(spec, at::kCPU, at::kFloat);
  EXPECT_SAYS(model_error([&] { network.run(unet_inputs(1)); }), "gives 1 outputs, but 2 are declared");
}

/// Copies of all parameters.
Tensors copied(const Network& network) {
  Tensors copies;
  for (const auto& [name, parameter] : network.parameters()) copies[name] = parameter.clone();
  return copies;
}

int64_t count_different(const Tensors& a, const Tensors& b) {
  return std::ranges::count_if(
      a, [&](const auto& entry) { return !at::equal(entry.second, b.at(entry.first)); });
}

class ChangedParameters : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(ChangedParameters, AreTheFilesPlusTheChangeAndThenTheFilesAgain) {
  Network network = load_unet(GetParam());
  const Tensors before = copied(network);
  network.change_parameters({"conv_in.weight", "conv_out.bias"},
                            [](const std::string&, const at::Tensor& stored) { return stored + 1; });
  EXPECT_EQ(count_different(copied(network), before), 2);
  // From what the file holds, so rounded once: one more change does not pile up on the first.
  network.change_parameters({"conv_in.weight"}, [](const std::string& name, const at::Tensor& stored) {
    EXPECT_EQ(name, "conv_in.weight");
    EXPECT_EQ(stored.scalar_type(), at::kFloat);
    return stored * 2;
  });
  EXPECT_EQ(count_different(copied(network), before), 1);
  EXPECT_TRUE(at::equal(network.parameters().at("conv_in.weight"), before.at("conv_in.weight") * 2));
  network.change_parameters({}, [](const std::string&, const at::Tensor& stored) { return stored; });
  EXPECT_EQ(count_different(copied(network), before), 0);
}

INSTANTIATE_TEST_SUITE_P(Precisions, ChangedParameters,
                         ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf));

TEST(Network, MendsAChangeThatFailedHalfWay) {
  Network network = load_unet();
  const Tensors before = copied(network);
  EXPECT_THROW(network.change_parameters({"conv_in.weight", "conv_out.weight"},
                                         [](const std::string& name, const at::Tensor& stored) {
                                           if (name == "conv_out.weight") throw ModelError("no more");
                                           return stored + 1;
                                         }),
               ModelError);
  network.change_parameters({}, {});
  EXPECT_EQ(count_different(copied(network), before), 0);
}

/// A network x -> x + weight[0] + weight[1] + ..., of so many weights; one lies in a list as well.
NetworkSpec save_sum(const std::filesystem::path& file, int64_t weights, int64_t size) {
  torch::jit::Module sum("Sum");
  std::string terms = "x + self.list[0]";
  for (int64_t i = 0; i < weights; ++i) {
    const std::string name = "weight" + std::to_string(i);
    sum.register_parameter(name, at::full({size}, static_cast<double>(i)), /*is_buffer=*/i % 2 > 0);
    terms += " + self." + name;
  }
  sum.register_attribute("list", c10::ListType::ofTensors(),
                         c10::List<at::Tensor>({sum.attr("weight1").toTensor().detach()}));
  sum.define("def forward(self, x):\n  return " + terms + "\n");
  sum.save(file.string());
  return {"sum", file, {"x"}, {"sum"}};
}

TEST(Network, LoadsWhatHasNoNameToo) {
  const testing::TemporaryFolder folder;
  Network network(save_sum(folder.path() / "sum.pt", 4, 100'000), at::kCPU, at::kFloat);
  EXPECT_TRUE(at::equal(network.run({{"x", at::zeros({1})}}).at("sum"), at::full({100'000}, 7.0)));
}

TEST(Network, LoadsWhatAnObjectHolds) {
  const testing::TemporaryFolder folder;
  NetworkSpec spec{"sum", folder.path() / "sum.pt", {"x"}, {"sum"}};
  {
    torch::jit::Module sum("Sum");
    const auto unit = sum._ivalue()->compilation_unit();
    const auto table = c10::ClassType::create("__torch__.Table", unit);
    table->addAttribute("values", c10::TensorType::get());
    unit->register_type(table);
    auto object = c10::ivalue::Object::create(c10::StrongTypePtr(unit, table), 1);
    object->setAttr("values", at::full({100'000}, 7.0));
    sum.register_attribute("table", table, object);
    sum.define("def forward(self, x):\n  return x + self.table.values\n");
    sum.save(spec.file.string());
  }
  Network network(spec, at::kCPU, at::kFloat);
  EXPECT_TRUE(at::equal(network.run({{"x", at::zeros({1})}}).at("sum"), at::full({100'000}, 7.0)));
}

/// Of this process, in bytes; writing 5 to clear_refs makes the peak what is resident now.
int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return 1024 * std::stoll(line.substr(6));
  return 0;
}

// Each tensor is so large that C's library gives it back to the system when it is freed.
TEST(Network, IsNotInMemoryTwiceWhileItIsLoaded) {
  const testing::TemporaryFolder folder;
  constexpr int64_t kWeights = 6, kSize = 10'000'000;
  const NetworkSpec spec = save_sum(folder.path() / "sum.pt", kWeights, kSize);
  std::ofstream("/proc/self/clear_refs") << 5;
  const int64_t before = peak_memory();
  const Network network(spec, at::kCPU, at::kBFloat16);
  // At half the precision, and one tensor at the whole; the one in a list stays.
  EXPECT_LT(peak_memory() - before, (kWeights / 2 + 2) * 4 * kSize);
}

class DamagedFile : public ::testing::Test {
 protected:
  std::string error_for(const std::string& bytes) {
    NetworkSpec spec = spec_of("tiny", "unet");
    spec.file = folder_.path() / "damaged.pt";
    std::ofstream(spec.file, std::ios::binary) << bytes;
    const std::string message = model_error([&] { Network(spec, at::kCPU, at::kFloat); });
    EXPECT_SAYS(message, "damaged.pt");
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }

  const testing::TemporaryFolder folder_;
};

TEST_F(DamagedFile, Missing) {
  NetworkSpec spec = spec_of("tiny", "unet");
  spec.file = folder_.path() / "gone.pt";
  const std::string message = model_error([&] { Network(spec, at::kCPU, at::kFloat); });
  EXPECT_SAYS(message, "gone.pt");
  EXPECT_SAYS(message, "no such file");
}

TEST_F(DamagedFile, Empty) { EXPECT_SAYS(error_for(""), "cannot load network 'unet'"); }

TEST_F(DamagedFile, RandomBytes) {
  std::string bytes(100000, '\0');
  uint32_t state = 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  EXPECT_SAYS(error_for(bytes), "cannot load network 'unet'");
}

TEST_F(DamagedFile, Truncated) {
  std::ifstream whole(spec_of("tiny", "unet").file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  for (const double kept : {0.01, 0.5, 0.999})
    EXPECT_SAYS(error_for(bytes.substr(0, static_cast<size_t>(bytes.size() * kept))), "zip archive");
}

TEST_F(DamagedFile, AnotherKindOfFile) {
  EXPECT_SAYS(error_for("{\"format\": 1}\n"), "cannot load network 'unet'");
}

}  // namespace
}  // namespace darkroom
