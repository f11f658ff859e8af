#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/descriptor.h"

namespace darkroom {

/// A file that has its bytes before it has its name: written beside its final place, then published in one
/// step. What was not published is gone when the object is. Every function throws OutputError naming the
/// final file and the cause.
class TemporaryFile {
 public:
  enum class Kind {
    unnamed,  ///< O_TMPFILE: nothing to find, whatever happens; `named` where the file system has none
    named     ///< .NAME.<random>.tmp; a kill -9 leaves it behind
  };

  TemporaryFile(std::filesystem::path final_file, Kind kind);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  void write(std::span<const uint8_t> bytes);

  /// Makes the file durable and gives it its final name, which must be free.
  void publish();
  /// The same, replacing a file that has the name. rename(2) needs a name to start from, so an unnamed file
  /// gets one, whole, for that moment.
  void publish_over();

 private:
  [[noreturn]] void fail(int error_number) const;
  void open_named();
  void finish_data();
  void finish_name();
  void link_unnamed(const std::string& name);

  std::filesystem::path final_file_;
  std::string final_name_;  ///< in folder_
  std::string name_;        ///< of the temporary in folder_; empty: it has none
  Descriptor folder_;
  Descriptor file_;
};

}  // namespace darkroom
