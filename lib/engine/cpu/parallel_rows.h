// Splitting rows over the shared thread pool.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/core/thread_pool.h"

namespace padless {

/** Below this many elements a thread's share is not worth waking it: a few microseconds of streaming. */
inline constexpr int64_t kElementsPerThread = 16384;

/** Calls work(first, last) for contiguous ranges that cover [0, rows), on at most `threads` threads. */
template <class Work>
void parallel_rows(int64_t rows, int64_t cols, int threads, const Work& work) {
  if (rows <= 0) return;
  const int64_t worth = std::min(rows, rows * cols / kElementsPerThread);
  const int wanted = static_cast<int>(std::clamp<int64_t>(worth, 1, std::max(threads, 1)));
  if (wanted == 1) return work(0, rows);
  ThreadPool::shared().run(wanted, [&](int index, int count) {
    const int64_t first = rows * index / count;
    const int64_t last = rows * (index + 1) / count;
    if (first < last) work(first, last);
  });
}

}  // namespace padless
