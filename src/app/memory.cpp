#include "app/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

namespace darkroom {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// The number after `key` in a file of lines "key number"; with no key, the number that the file consists of.
std::optional<int64_t> number_in(const fs::path& file, const std::string& key = "") {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t number = 0;
    if (!key.empty()) words >> name;
    if (name == key && words >> number) return number;
  }
  return std::nullopt;
}

/// What a control group's limit leaves. Cached file pages count as used but give way, so they are added back.
int64_t left_by(const fs::path& group, const char* limit_file, const char* usage_file,
                const char* cache_key) {
  const std::optional<int64_t> limit = number_in(group / limit_file), usage = number_in(group / usage_file);
  if (!limit || !usage) return kUnlimited;
  return *limit - *usage + number_in(group / "memory.stat", cache_key).value_or(0);
}

/// The least that the group and the groups around it leave.
int64_t left_by_groups(const fs::path& mount, const std::string& group, const char* limit_file,
                       const char* usage_file, const char* cache_key) {
  int64_t left = left_by(mount, limit_file, usage_file, cache_key);
  fs::path folder = mount;
  for (const fs::path& part : fs::path(group).relative_path()) {
    folder /= part;
    left = std::min(left, left_by(folder, limit_file, usage_file, cache_key));
  }
  return left;
}

}  // namespace

int64_t available_memory(const fs::path& root) {
  int64_t left = kUnlimited;
  if (const auto kibibytes = number_in(root / "proc/meminfo", "MemAvailable:")) left = *kibibytes * 1024;
  // Lines "0::/path" (version 2) and "9:memory:/path" (version 1).
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      group = line.substr(second + 1);
    if (controllers.empty())
      left = std::min(left, left_by_groups(root / "sys/fs/cgroup", group, "memory.max", "memory.current",
                                           "inactive_file"));
    else if (controllers == "memory")
      left = std::min(left, left_by_groups(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                                           "memory.usage_in_bytes", "total_inactive_file"));
  }
  return left;
}

}  // namespace darkroom
