#include "app/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "app/numbers.h"

namespace darkroom {
namespace {

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

int terminal_columns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) && !(term && std::string_view(term) == "dumb");
}

std::string picture_range(const ProgressState& state) {
  std::string text = "picture " + std::to_string(state.first);
  if (state.last > state.first) text.append("-").append(std::to_string(state.last));
  return text + " of " + std::to_string(state.pictures);
}

}  // namespace

std::string progress_bar(const ProgressState& state, int columns) {
  constexpr int64_t kWidth = 20;
  const int64_t filled = state.steps > 0 ? kWidth * state.step / state.steps : 0;
  std::string line = "[";
  line.append(static_cast<size_t>(filled), '#').append(static_cast<size_t>(kWidth - filled), '-');
  line += "] step " + std::to_string(state.step) + "/" + std::to_string(state.steps);
  if (state.step > 0 && state.batch_seconds > 0) {
    const double rate = static_cast<double>(state.step) / state.batch_seconds;
    char text[48];
    std::snprintf(text, sizeof text, ", %.3g steps/s, ", rate);
    line += text + duration_text(static_cast<double>(state.steps - state.step) / rate) + " left";
  }
  if (state.pictures > 1) line += "; " + picture_range(state);
  if (state.seconds_per_picture > 0)
    line += ", " +
            duration_text(static_cast<double>(state.pictures - state.last) * state.seconds_per_picture) +
            " left";
  return line.substr(0, static_cast<size_t>(columns > 1 ? columns - 1 : 0));
}

Progress::Progress(int64_t pictures, bool enabled)
    : form_(!enabled               ? Form::none
            : stderr_is_terminal() ? Form::bar
                                   : Form::lines),
      run_began_(Clock::now()) {
  state_.pictures = pictures;
}

Progress::~Progress() { clear(); }

void Progress::begin_batch(int64_t pictures) {
  state_.first = state_.last + 1;
  state_.last += pictures;
  state_.step = 0;
  batch_began_ = Clock::now();
}

void Progress::step(int64_t step, int64_t steps) {
  state_.step = step;
  state_.steps = steps;
  const auto now = Clock::now();
  state_.batch_seconds = seconds(now - batch_began_);
  const bool due = !on_screen_ || step == steps || seconds(now - drawn_) > 0.1;
  if (form_ == Form::bar && due) draw();
}

void Progress::end_batch() {
  clear();
  const auto now = Clock::now();
  state_.seconds_per_picture = seconds(now - run_began_) / static_cast<double>(state_.last);
  if (form_ != Form::lines) return;
  const double left = static_cast<double>(state_.pictures - state_.last) * state_.seconds_per_picture;
  std::fprintf(stderr, "darkroom: %s, %.2f s%s\n", picture_range(state_).c_str(), seconds(now - batch_began_),
               state_.last < state_.pictures ? (", " + duration_text(left) + " left").c_str() : "");
}

void Progress::clear() {
  if (on_screen_) std::fputs("\r\033[K", stderr);
  on_screen_ = false;
}

void Progress::draw() {
  drawn_ = Clock::now();
  on_screen_ = true;
  std::fprintf(stderr, "\r%s\033[K", progress_bar(state_, terminal_columns()).c_str());
}

}  // namespace darkroom
