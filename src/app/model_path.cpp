#include "app/model_path.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "darkroom/base/error.h"
#include "darkroom/base/nearest.h"

namespace darkroom {

namespace fs = std::filesystem;

std::vector<fs::path> model_search_path() {
  std::vector<fs::path> folders;
  if (const char* own = std::getenv("DARKROOM_MODELS")) {
    std::istringstream list(own);
    for (std::string folder; std::getline(list, folder, ':');)
      if (!folder.empty()) folders.emplace_back(folder);
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path prefix = program.parent_path().parent_path();
    folders.push_back(prefix / "models");
    folders.push_back(prefix / "share/darkroom/models");
  }
  return folders;
}

std::vector<fs::path> installed_models(const std::vector<fs::path>& search_path) {
  std::vector<fs::path> models;
  std::set<std::string> seen;
  for (const fs::path& folder : search_path) {
    std::error_code error;
    std::vector<fs::path> here;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
      if (!entry.path().filename().string().starts_with('.') &&  // not what an export was killed over
          fs::exists(entry.path() / "model.json", error))
        here.push_back(entry.path());
    std::sort(here.begin(), here.end());
    for (const fs::path& model : here)
      if (seen.insert(model.filename()).second) models.push_back(model);
  }
  return models;
}

fs::path find_model(const std::string& path_or_name, const std::vector<fs::path>& search_path) {
  std::error_code error;
  if (fs::exists(fs::path(path_or_name) / "model.json", error)) return path_or_name;
  std::vector<std::string> names;
  for (const fs::path& model : installed_models(search_path)) {
    if (model.filename() == path_or_name) return model;
    names.push_back(model.filename());
  }
  if (fs::exists(path_or_name, error)) throw ModelError("model '" + path_or_name + "': holds no model.json");
  if (path_or_name.find('/') != std::string::npos)
    throw ModelError("model '" + path_or_name + "': no such folder");
  std::string looked;
  for (const fs::path& folder : search_path) looked += (looked.empty() ? "" : ", ") + folder.string();
  throw ModelError(unknown_name("model", path_or_name, names) + "; looked in " + looked);
}

}  // namespace darkroom
