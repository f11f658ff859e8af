#pragma once

#include <string>
#include <string_view>

#include "darkroom/model/embedding.h"

namespace darkroom {

/// An embedding as it is typed: FILE, or NAME=FILE where NAME is no path and no such FILE is there. Throws
/// UsageError beginning with `what`.
Embedding parse_embedding(std::string_view what, const std::string& text);

/// As it would be typed.
std::string embedding_text(const Embedding& embedding);

}  // namespace darkroom
