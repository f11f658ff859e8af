#include "base/cause.h"

#include <cctype>
#include <cerrno>
#include <system_error>

namespace darkroom {

std::string cause_of(int error_number) {
  switch (error_number) {
    case EEXIST:
      return "exists already";
    case EISDIR:
      return "is a folder";
    case ENOENT:
      return "no such file or folder";
    case ENOTDIR:
      return "a part of the path is not a folder";
    default: {
      std::string text = std::system_category().message(error_number);
      text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
      return text;
    }
  }
}

}  // namespace darkroom
