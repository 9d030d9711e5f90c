// Bytes in use, and the most at one time.
#pragma once

#include <atomic>
#include <cstddef>

namespace padless {

/** Any thread may call anything. */
class ByteCount {
 public:
  void add(size_t bytes) {
    const size_t now = now_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    size_t peak = peak_.load(std::memory_order_relaxed);
    while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
  }
  void subtract(size_t bytes) { now_.fetch_sub(bytes, std::memory_order_relaxed); }

  size_t now() const { return now_.load(std::memory_order_relaxed); }
  /** The most since the last reset. */
  size_t peak() const { return peak_.load(std::memory_order_relaxed); }
  void reset_peak() { peak_.store(now(), std::memory_order_relaxed); }

 private:
  std::atomic<size_t> now_ = 0;
  std::atomic<size_t> peak_ = 0;
};

}  // namespace padless
