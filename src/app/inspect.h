#pragma once

#include <string>

namespace darkroom {

/// What a PNG file says of its making, what a .safetensors file holds, or what a model is and needs, as text
/// for people. `target` is a file, a model's folder or the name of an installed model.
std::string inspect(const std::string& target);

}  // namespace darkroom
