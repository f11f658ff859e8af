#pragma once

#include <string>

namespace darkroom {

/// What a PNG file says of its making, what a .safetensors file holds, or what a model is and needs, as text
/// for people. `target` is a file, a model's folder or the name of an installed model.
/// `verify`: of a model, whose files are compared with their hashes. Throws ModelError where one differs, and
/// UsageError for a file, which has no hash to compare with.
std::string inspect(const std::string& target, bool verify);

}  // namespace darkroom
