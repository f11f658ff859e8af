#include "darkroom/nn/device.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

std::string usage_error(const char* device) {
  try {
    find_device(device);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

bool has_gpu() { return find_device("auto").is_cuda(); }

TEST(Device, TheCpuNeedsNoCudaLibraries) {
  EXPECT_EQ(find_device("cpu"), at::Device(at::kCPU));
  EXPECT_EQ(dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD), nullptr);
  EXPECT_EQ(device_name(at::kCPU), "cpu");
}

TEST(Device, AnotherWordIsRefused) {
  EXPECT_EQ(usage_error("cud"),
            "unknown device 'cud'; did you mean 'cuda'? (allowed: auto, cpu, cuda, cuda:N)");
  for (const char* word :
       {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:128", "cuda:4294967296"})
    EXPECT_NE(usage_error(word).find("unknown device"), std::string::npos) << word;
}

TEST(Device, WithoutAGpuCudaSaysWhyAndWhatToDo) {
  if (has_gpu()) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(find_device("auto"), at::Device(at::kCPU));
  for (const char* name : {"cuda", "cuda:1"}) {
    const std::string message = usage_error(name);
    EXPECT_TRUE(message.starts_with("no CUDA device: ")) << message;
    EXPECT_TRUE(message.ends_with("; use --device cpu")) << message;
  }
}

TEST(Device, WithAGpuCudaIsFound) {
  if (!has_gpu()) GTEST_SKIP() << "there is no GPU";
  EXPECT_EQ(find_device("cuda"), at::Device(at::kCUDA, 0));
  EXPECT_TRUE(device_name(find_device("cuda:0")).starts_with("cuda:0 ("));
  EXPECT_NE(usage_error("cuda:99").find("no CUDA device 99"), std::string::npos);
}

TEST(Precision, AutoGivesTheSamePictureOnEveryCpu) {
  EXPECT_EQ(find_precision("auto", at::kCPU), at::kFloat);
  EXPECT_EQ(find_precision("auto", at::Device(at::kCUDA, 0)), at::kHalf);
}

TEST(Precision, NamesAreReadAsTheyAreWritten) {
  const at::Device cuda(at::kCUDA, 0);
  for (const char* name : {"fp32", "bf16", "fp16"})
    EXPECT_EQ(precision_name(find_precision(name, cuda)), name);
}

TEST(Precision, RefusesOtherWordsAndFp16OnTheCpu) {
  EXPECT_THROW(find_precision("fp64", at::kCPU), UsageError);
  EXPECT_THROW(find_precision("", at::kCPU), UsageError);
  EXPECT_THROW(find_precision("fp16", at::kCPU), UsageError);
}

}  // namespace
}  // namespace darkroom
