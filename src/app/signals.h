#pragma once

namespace darkroom {

/// From now on the first SIGINT, SIGTERM or SIGHUP asks the run to stop after the pictures in hand; the
/// second ends the process at once with code 75. A signal that was ignored at the start (nohup, a shell's
/// background job) stays ignored.
void catch_signals();

/// Writing to a closed pipe is an error to be looked at, not a reason to die.
void ignore_closed_pipes();

/// Whether the run has been asked to stop.
bool stop_requested();

}  // namespace darkroom
