#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include "app/check.h"
#include "app/command_line.h"
#include "app/console.h"
#include "app/inspect.h"
#include "app/list.h"
#include "app/run.h"
#include "app/signals.h"

namespace darkroom {
namespace {

/// A standard stream that is closed at the start would lend its number to the next file opened, and a picture
/// would receive what is printed.
void fill_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(stream, F_GETFD) == -1) open("/dev/null", stream == STDIN_FILENO ? O_RDONLY : O_WRONLY);
}

void print(const std::string& text) {
  Console console{Options()};
  console.result(text, {});
  console.check_results();
}

/// "list" and "inspect", which take one word.
std::string argument_of(const std::vector<std::string>& words, const char* argument) {
  if (words.size() != 2) throw UsageError("darkroom " + words.front() + " takes one argument: " + argument);
  return words.back();
}

ExitCode dispatch(const std::string& program, const std::vector<std::string>& words) {
  if (std::ranges::any_of(words, [](const auto& word) { return word == "-h" || word == "--help"; })) {
    print(help_text());
    return ExitCode::success;
  }
  if (!words.empty() && words.front() == "list") {
    std::vector<std::string> rest = words;
    const bool json = std::erase(rest, "--json") > 0;
    print(list(argument_of(rest, "samplers, schedules or models"), json));
    return ExitCode::success;
  }
  if (!words.empty() && words.front() == "inspect") {
    std::vector<std::string> rest = words;
    const bool verify = std::erase(rest, "--verify") > 0;
    print(inspect(argument_of(rest, "a .png file, a .safetensors file or a model"), verify));
    return ExitCode::success;
  }
  if (!words.empty() && words.front() == "check") return check({words.begin() + 1, words.end()});
  const Options options = parse_command_line(words);
  if (options.version) {
    print("darkroom " + std::string(kVersion));
    return ExitCode::success;
  }
  return run(program, words);
}

int main_of(const std::string& program, const std::vector<std::string>& words) {
  const bool verbose =
      std::ranges::any_of(words, [](const auto& word) { return word == "-v" || word == "--verbose"; });
  try {
    return static_cast<int>(dispatch(program, words));
  } catch (const Error& error) {
    std::fprintf(stderr, "darkroom: error: %s\n", message_of(error, verbose).c_str());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "darkroom: error: out of memory\n");
    return static_cast<int>(ExitCode::resources);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "darkroom: error: a bug in darkroom %s, please report it: %s\n", kVersion,
                 message_of(error, true).c_str());
    return static_cast<int>(ExitCode::bug);
  }
}

}  // namespace
}  // namespace darkroom

int main(int argc, char** argv) {
  darkroom::fill_closed_streams();
  darkroom::ignore_closed_pipes();
  return darkroom::main_of(argv[0], std::vector<std::string>(argv + 1, argv + argc));
}
