#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace darkroom {

/// How far a run has come.
struct ProgressState {
  int64_t step = 0, steps = 0;     ///< of the batch in hand
  int64_t first = 0, last = 0;     ///< pictures of the batch in hand, from 1
  int64_t pictures = 0;            ///< of the whole run
  double batch_seconds = 0;        ///< since the batch began
  double seconds_per_picture = 0;  ///< of the batches finished; 0: none yet
};

/// "[####------] step 4/10, 2.1 steps/s, 0:03 left; picture 3 of 100, 5:10 left", at most `columns` wide.
std::string progress_bar(const ProgressState& state, int columns);

/// Progress on standard error: a bar where that is a terminal (TERM=dumb is none), else a line for each
/// batch.
class Progress {
 public:
  /// Nothing is shown if not `enabled`.
  Progress(int64_t pictures, bool enabled);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void begin_batch(int64_t pictures);
  void step(int64_t step, int64_t steps);
  void end_batch();

  /// Takes the bar off the screen, before something else is printed; it comes back with the next step.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  enum class Form { none, lines, bar } form_;
  ProgressState state_;
  Clock::time_point run_began_, batch_began_, drawn_;
  bool on_screen_ = false;
};

}  // namespace darkroom
