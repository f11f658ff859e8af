#include "app/embedding_text.h"

#include "base/trimmed.h"
#include "darkroom/base/error.h"

namespace darkroom {

Embedding parse_embedding(std::string_view what, const std::string& text) {
  if (text.empty()) throw UsageError(std::string(what) + ": no file is named");
  const size_t equals = text.find('=');
  std::error_code error;
  if (text.substr(0, equals).find('/') != std::string::npos || equals == std::string::npos ||
      std::filesystem::exists(text, error))
    return {text};
  const std::string name(trimmed(text.substr(0, equals))), file = text.substr(equals + 1);
  if (name.empty()) throw UsageError(std::string(what) + ": '" + text + "' has no name before the '='");
  if (file.empty()) throw UsageError(std::string(what) + ": '" + text + "' names no file");
  return {file, name};
}

std::string embedding_text(const Embedding& embedding) {
  return embedding.name.empty() ? embedding.file.string() : embedding.name + "=" + embedding.file.string();
}

}  // namespace darkroom
