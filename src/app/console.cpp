#include "app/console.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/cause.h"

namespace darkroom {
namespace {

std::string with_place(const std::string& place, const std::string& text) {
  return place.empty() ? text : place + ": " + text;
}

}  // namespace

void Console::result(const std::string& text, const nlohmann::json& object) {
  if (json_)
    print_object(object);
  else
    print_line(text);
}

void Console::check_results() const {
  if (lost_ != 0 && lost_ != EPIPE && lost_ != EBADF)
    throw_cannot<OutputError>("write", "standard output", lost_);
}

void Console::warn(const Warning& warning) {
  if (json_)
    print_object({{"warning", warning.kind}, {"text", warning.text}, {"place", warning.place}});
  else if (!quiet_)
    message("warning: " + with_place(warning.place, warning.text));
}

void Console::notice(const std::string& text) {
  if (!quiet_) message(text);
}

void Console::failure(const Failure& failure) {
  message("error: " + with_place(failure.place, failure.message));
  if (!json_) return;
  nlohmann::json object = {
      {"error", failure.message}, {"exit", static_cast<int>(failure.code)}, {"place", failure.place}};
  if (failure.line > 0) object["line"] = failure.line;
  print_object(object);
}

void Console::message(const std::string& text) {
  if (progress_) progress_->clear();
  std::fprintf(stderr, "darkroom: %s\n", text.c_str());
}

void Console::print_object(const nlohmann::json& object) {
  print_line(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// Unbuffered, so that a result is out as soon as its file is whole.
void Console::print_line(std::string line) {
  if (progress_) progress_->clear();
  line += '\n';
  for (size_t done = 0; done < line.size() && lost_ == 0;) {
    const ssize_t count = write(STDOUT_FILENO, line.data() + done, line.size() - done);
    if (count >= 0)
      done += static_cast<size_t>(count);
    else if (errno != EINTR)
      lost_ = errno;
  }
}

}  // namespace darkroom
