#include "app/signals.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

volatile sig_atomic_t signals_seen = 0;

void on_signal(int) {
  if (signals_seen) _exit(static_cast<int>(ExitCode::interrupted));
  signals_seen = 1;
  const int error_in_hand = errno;
  constexpr std::string_view text =
      "\ndarkroom: stopping after the picture in hand; once more stops at once\n";
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
  errno = error_in_hand;
}

}  // namespace

void ignore_closed_pipes() {
  struct sigaction action = {};
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
}

void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

bool stop_requested() { return signals_seen != 0; }

}  // namespace darkroom
