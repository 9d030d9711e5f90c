// Waiting for what comes within microseconds.
#pragma once

#include <chrono>

#include "lib/core/read_ahead.h"

namespace padless {

/** Waking a sleeping thread takes tens of microseconds; the gap between two regions of one forward is
 * shorter.
 */
inline constexpr std::chrono::microseconds kSpinTime(50);

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/** Waits until `done` returns true, for at most `limit`; returns whether it did. Reads ahead meanwhile. */
template <class Predicate>
bool spin_until(const Predicate& done, std::chrono::microseconds limit = kSpinTime) {
  // Reading the clock costs as much as several pauses.
  constexpr int kPausesPerClockRead = 32;
  ReadAhead& ahead = ReadAhead::of_thread();
  const auto end = std::chrono::steady_clock::now() + limit;
  do {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      if (done()) return true;
      if (!ahead.fetch_some()) pause_cpu();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

}  // namespace padless
