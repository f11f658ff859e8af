#include "app/output.h"

#include <unistd.h>

#include "app/naming.h"
#include "base/cause.h"

namespace darkroom {

namespace fs = std::filesystem;

Output find_output(const Options& options) {
  const fs::path given = options.output;
  std::error_code error;
  if (!is_png_name(options.output) || fs::is_directory(given, error)) {
    check_template(options.name);
    return {given, options.name};
  }
  if (options.name != Options().name)
    throw UsageError("--name and a file as --output ('" + options.output + "') exclude each other");
  const fs::path folder = given.has_parent_path() ? given.parent_path() : ".";
  if (!fs::is_directory(folder, error))
    throw OutputError("cannot write '" + options.output + "': there is no folder '" + folder.string() + "'");
  check_template(given.filename());
  return {folder, given.filename()};
}

void check_writable(const fs::path& folder) {
  std::error_code error;
  fs::path existing = fs::absolute(folder, error).lexically_normal();
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  if (!fs::is_directory(existing, error)) throw_cannot<OutputError>("write into", existing, ENOTDIR);
  if (access(existing.c_str(), W_OK | X_OK) != 0) throw_cannot<OutputError>("write into", existing, errno);
}

void make_folder_of(const fs::path& file) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) throw_cannot<OutputError>("make the folder", file.parent_path(), error.value());
}

}  // namespace darkroom
