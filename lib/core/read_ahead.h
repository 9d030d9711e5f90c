// What a thread will read next, fetched into its cache while it waits for others: the path to memory is idle
// then, and what a product reads first does not depend on what the thread waits for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace padless {

class ReadAhead {
 public:
  /** The calling thread's. */
  static ReadAhead& of_thread() {
    thread_local ReadAhead ahead;
    return ahead;
  }

  /** `memory` is read next. It is never read here, and may be freed meanwhile. */
  void follow(std::span<const char> memory) { left_ = memory; }

  /** Fetches a few cache lines; false if none are left. */
  bool fetch_some() {
    for (int line = 0; line < kLines && !left_.empty(); ++line) {
      __builtin_prefetch(left_.data(), 0, 2);
      left_ = left_.subspan(std::min(kLineBytes, left_.size()));
    }
    return !left_.empty();
  }

 private:
  static constexpr size_t kLineBytes = 64;
  static constexpr int kLines = 4;

  std::span<const char> left_;
};

}  // namespace padless
