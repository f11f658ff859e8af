// Textual inversion embeddings on the text encoder of tests/models/tiny; tests/python/test_embedding.py
// compares them with diffusers'.
#include "model/inversions.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "darkroom/base/error.h"
#include "darkroom/data/safetensors.h"
#include "darkroom/model/pipeline.h"
#include "model/adaptation.h"
#include "model/embedding_file.h"
#include "model/loaded_model.h"
#include "nn/tensor_view.h"
#include "support/collected.h"
#include "support/golden.h"
#include "support/stand_in_device.h"
#include "support/temporary_folder.h"

namespace darkroom {
namespace {

constexpr int64_t kVocabulary = 1000, kWidth = 8;

class InversionsTest : public ::testing::Test {
 protected:
  const Manifest manifest_ = read_manifest(DARKROOM_TEST_DATA "/models/tiny");
  const testing::TemporaryFolder folder_;
  testing::Collected diagnostics_;

  std::filesystem::path write(const std::string& name, const Tensors& tensors) {
    std::map<std::string, TensorView> views;
    for (const auto& [key, tensor] : tensors) views[key] = view_of(tensor);
    write_safetensors(folder_.path() / name, views, {}, true);
    return folder_.path() / name;
  }

  Embedding embedding(const std::string& name, int64_t count, double value = 1) {
    return {write(name + ".safetensors", {{"emb_params", at::full({count, kWidth}, value)}})};
  }

  Tensors encode(const std::vector<Embedding>& embeddings, const std::string& prompt,
                 const Reading& reading = {}) {
    LoadedModel model(manifest_, at::kCPU, at::kFloat, diagnostics_);
    model.adapt(std::make_shared<const Adaptation>(manifest_, std::vector<Lora>(), embeddings));
    return model.conditioner.encode(prompt, "prompt", reading);
  }

  /// The message with which these are refused.
  std::string refusal(const std::vector<Embedding>& embeddings) {
    try {
      Inversions(manifest_, embeddings);
    } catch (const ModelError& error) {
      return error.what();
    } catch (const UsageError& error) {
      return std::string("usage: ").append(error.what());
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
};

// A vector that is a row of the table is that row's word.
TEST_F(InversionsTest, StandForTheirVectors) {
  Network network = load_network(manifest_, "text", at::kCPU, at::kFloat);
  const at::Tensor table = network.parameters().at("embeddings.token_embedding.weight").clone();
  const auto tokenizer =
      make_clip_tokenizer(manifest_.folder / manifest_.tokenizers.at("clip").file, Padding::end);
  const std::vector<int64_t> ids = tokenizer->tokenize("red cat", diagnostics_, "");
  const Embedding both{
      write("animal.safetensors", {{"emb_params", table.index({at::tensor(ids, at::kLong)})}})};
  for (const Reading& reading :
       {Reading(), Reading{.weighting = Weighting::a1111, .chunks = true},
        Reading{.weighting = Weighting::compel, .chunks = true}, Reading{.clip_skip = 1}})
    EXPECT_TRUE(at::equal(encode({both}, "a animal, dog", reading).at("context"),
                          encode({}, "a red cat, dog", reading).at("context")));
  const Reading a1111{.weighting = Weighting::a1111, .chunks = true};
  EXPECT_TRUE(at::equal(encode({both}, "a (animal:1.3)", a1111).at("context"),
                        encode({}, "a (red cat:1.3)", a1111).at("context")));
  const Embedding one{write("beast.safetensors", {{"<red>", table[ids[0]].to(at::kDouble)}})};
  for (const char* word : {"beast", "<beast>", "<red>", "<RED>"})
    EXPECT_TRUE(at::equal(encode({both, one}, "animal " + std::string(word)).at("context"),
                          encode({}, "red cat red").at("context")))
        << word;
  EXPECT_TRUE(
      at::equal(encode({{one.file, "x"}}, "x <x>").at("context"), encode({}, "red red").at("context")));
  EXPECT_TRUE(at::equal(encode({{one.file, "x"}}, "beast <red>").at("context"),
                        encode({}, "beast <red>").at("context")));
  EXPECT_FALSE(at::equal(encode({both}, "animal").at("context"), encode({}, "animal").at("context")));
}

TEST_F(InversionsTest, AreRowsBehindTheTableAndLeaveNothingBehind) {
  const std::string name = "embeddings.token_embedding.weight";
  for (const at::ScalarType precision : {at::kFloat, at::kBFloat16}) {
    Network network = load_network(manifest_, "text", at::kCPU, precision);
    Tensors before;
    for (const auto& [key, value] : network.parameters()) before[key] = value.clone();
    const Inversions two(manifest_, {embedding("a", 2, 0.3), embedding("b", 1, 0.7)});
    two.apply(network);
    two.apply(network);
    const at::Tensor table = network.parameters().at(name);
    ASSERT_EQ(table.sizes(), at::IntArrayRef({kVocabulary + 3, kWidth}));
    EXPECT_EQ(table.scalar_type(), precision);
    EXPECT_TRUE(at::equal(table.narrow(0, 0, kVocabulary), before.at(name)));
    EXPECT_TRUE(at::equal(table[kVocabulary + 1], at::full({kWidth}, 0.3).to(precision)));
    EXPECT_TRUE(at::equal(table[kVocabulary + 2], at::full({kWidth}, 0.7).to(precision)));
    // What a LoRA changes is changed under them.
    network.change_parameters({name},
                              [](const std::string&, const at::Tensor& stored) { return stored * 2; });
    EXPECT_EQ(network.parameters().at(name).size(0), kVocabulary + 3);
    network.change_parameters({}, {});
    Inversions(manifest_, {embedding("c", 1)}).apply(network);
    EXPECT_EQ(network.parameters().at(name).size(0), kVocabulary + 1);
    Inversions(manifest_, {}).apply(network);
    for (const auto& [key, value] : network.parameters())
      EXPECT_TRUE(at::equal(value, before.at(key))) << key;
  }
}

TEST_F(InversionsTest, ComeAndGoBetweenJobs) {
  Settings plain = default_settings(manifest_);
  plain.width = plain.height = 16;
  plain.steps = 2;
  Settings with = plain, other = plain;
  with.embeddings = {embedding("style", 3, 2)};
  other.embeddings = {embedding("other", 2, -2), with.embeddings.front()};
  const Pipeline::Options kinds[] = {{},
                                     {.offload = Offload::text},
                                     {.offload = Offload::all},
                                     {.device = testing::stand_in_device()},
                                     {.device = testing::stand_in_device(), .offload = Offload::all}};
  for (const Pipeline::Options& options : kinds) {
    Pipeline pipeline(manifest_, options, diagnostics_);
    const auto latents = [&](const Settings& settings) {
      const Request request{"a style", "no style", 1, "prompt"};
      return pipeline.generate(settings, {request}).front().latents.cpu();
    };
    const at::Tensor none = latents(plain), some = latents(with);
    EXPECT_GT(testing::worst_difference(some, none), 1e-3);
    EXPECT_TRUE(at::equal(latents(other), some));  // its other word is in no prompt
    EXPECT_TRUE(at::equal(latents(plain), none));
    EXPECT_TRUE(at::equal(latents(with), some));
    Settings wrong = plain;
    wrong.embeddings = {{write("wide.safetensors", {{"emb_params", at::ones({1, 9})}})}};
    EXPECT_THROW(latents(wrong), ModelError);
    EXPECT_TRUE(at::equal(latents(with), some));
  }
}

TEST_F(InversionsTest, ArePartOfTheDenoisersFileToo) {
  Manifest pair = manifest_;  // two text encoders, each with a tokenizer of its own
  pair.networks["text_2"] = pair.networks.at("text");
  pair.tokenizers["clip_2"] = pair.tokenizers.at("clip");
  pair.conditioning.front().from = {{"text", "hidden", "clip"}, {"text_2", "hidden", "clip_2"}};
  const Tensors vectors = {{"clip_l", at::zeros({2, kWidth})}, {"clip_g", at::ones({2, kWidth})}};
  const std::filesystem::path file = write("xl.safetensors", vectors);
  const Inversions both(pair, {{file}});
  for (const auto& [name, value] : {std::pair("text", 0.0), {"text_2", 1.0}}) {
    Network network = load_network(pair, name, at::kCPU, at::kFloat);
    both.apply(network);
    EXPECT_TRUE(
        at::equal(network.parameters().at("embeddings.token_embedding.weight").narrow(0, kVocabulary, 2),
                  at::full({2, kWidth}, value)));
  }
  EXPECT_EQ(both.words("clip").front().first_id, kVocabulary);
  EXPECT_EQ(both.words("clip_2").front().count, 2u);
  EXPECT_TRUE(both.words("other").empty());
  EXPECT_NO_THROW(Inversions(manifest_, {{file}}));  // one text encoder, SDXL's second, as in its refiner
  try {
    Inversions(pair, {embedding("sd1", 1)});
    ADD_FAILURE();
  } catch (const ModelError& error) {
    EXPECT_NE(std::string(error.what())
                  .find("sd1.safetensors' holds vectors for one text encoder ('emb_params'), and "
                        "model 'tiny' has 2; an embedding for it holds 'clip_l' and 'clip_g'"),
              std::string::npos)
        << error.what();
  }
}

#define EXPECT_SAYS(message, words) EXPECT_NE((message).find(words), std::string::npos) << (message)

TEST_F(InversionsTest, ThatDoNotFitAreRefusedWithTheReason) {
  const auto says = [&](const Tensors& tensors, const std::string& words) {
    const std::string message = refusal({{write("x.safetensors", tensors)}});
    EXPECT_SAYS(message, "x.safetensors' ");
    EXPECT_SAYS(message, words);
  };
  says({{"emb_params", at::ones({1, 9})}},
       "does not fit the model: 'emb_params' has vectors of 9 channels, and text encoder 'text' takes 8");
  says({{"clip_l", at::ones({1, 8})}, {"clip_g", at::ones({1, 16})}},
       "'clip_g' has vectors of 16 channels, and text encoder 'text' takes 8");
  says({{"clip_l", at::ones({1, 8})}, {"clip_g", at::ones({2, 8})}},
       "holds 1 vectors in 'clip_l' and 2 in 'clip_g'");
  says({{"emb_params", at::ones({76, 8})}},
       "holds 76 vectors, more than the 75 that text encoder 'text' reads at once");
  says({{"emb_params", at::ones({1, 1, 8})}}, "holds 'emb_params' of the shape [1, 1, 8]");
  says({{"emb_params", at::ones({0, 8})}}, "holds 'emb_params' of the shape [0, 8]");
  says({{"emb_params", at::ones({})}}, "holds 'emb_params' of the shape []");
  says({{"emb_params", at::ones({1, 8}, at::kInt)}}, "holds 'emb_params' as I32");
  says({{"emb_params", at::full({1, 8}, NAN)}},
       "holds 'emb_params' with values that are no numbers (NaN or Inf)");
  says({{"emb_params", at::full({1, 8}, 70000.0).to(at::kHalf)}}, "no numbers");
  says({{"a.weight", at::ones({8, 8})}, {"b.weight", at::ones({8, 8})}},
       "is no textual inversion embedding: it holds 'a.weight' and 1 more tensors; an embedding is one "
       "tensor, such as "
       "'emb_params', or 'clip_l' and 'clip_g'");
  says({{"clip_l", at::ones({1, 8})}, {"t5xxl", at::ones({1, 8})}}, "it holds 't5xxl' and 1 more tensors");
  says({}, "it holds nothing");
}

TEST_F(InversionsTest, NeedAWordEach) {
  const Embedding one = embedding("one", 1), two = embedding("Two", 1);
  const Embedding named{write("three.safetensors", {{"<one>", at::ones({kWidth})}})};
  EXPECT_NO_THROW(check_embeddings({one, two}));
  EXPECT_SAYS(refusal({one, one}), "usage: --embedding: 'one' would stand for both '");
  EXPECT_SAYS(refusal({one, named}), "'<one>' would stand for both '");
  EXPECT_SAYS(refusal({one, {two.file, "ONE"}}), "'ONE' would stand for both '");
  EXPECT_NO_THROW(check_embeddings({one, {named.file, "three"}}));
  EXPECT_SAYS(refusal({{"style.pt"}}),
              "'style.pt' is a pickle, which could run code; 'scripts/export --embedding "
              "style.pt -o style.safetensors' takes the vectors out of it");
}

}  // namespace
}  // namespace darkroom
