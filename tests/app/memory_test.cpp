#include "app/memory.h"

#include <gtest/gtest.h>

#include <fstream>

namespace darkroom {
namespace {

namespace fs = std::filesystem;

/// A /proc and /sys of our own.
class Memory : public testing::Test {
 protected:
  Memory() : root_(fs::path(testing::TempDir()) / "darkroom_memory_test") {
    fs::remove_all(root_);
    write("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    8000 kB\n");
  }
  ~Memory() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }

  fs::path root_;
};

TEST_F(Memory, IsWhatTheMachineHas) { EXPECT_EQ(available_memory(root_), 8000 * 1024); }

TEST_F(Memory, IsWhatAControlGroupLeaves) {
  write("proc/self/cgroup", "0::/slice/job\n");
  write("sys/fs/cgroup/slice/memory.max", "1000000\n");
  write("sys/fs/cgroup/slice/memory.current", "700000\n");
  write("sys/fs/cgroup/slice/memory.stat", "anon 5\ninactive_file 100000\n");
  write("sys/fs/cgroup/slice/job/memory.max", "max\n");
  write("sys/fs/cgroup/slice/job/memory.current", "700000\n");
  EXPECT_EQ(available_memory(root_), 400000);
}

TEST_F(Memory, IsWhatAGroupOfVersionOneLeaves) {
  write("proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/job\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "500000\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "200000\n");
  EXPECT_EQ(available_memory(root_), 300000);
}

TEST_F(Memory, OfAContainerThatSeesItsOwnGroupAsTheRoot) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "3000\n");
  write("sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_EQ(available_memory(root_), 2000);
}

}  // namespace
}  // namespace darkroom
