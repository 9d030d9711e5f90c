// A piece of work in equal items that the threads of a region share out among themselves.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace padless {

/** Items [begin, end). */
struct ItemRange {
  int64_t begin = 0;
  int64_t end = 0;
  bool empty() const { return begin >= end; }
};

/** Of `items`, the part that belongs to thread `index` of `count`. */
inline ItemRange share_of(int64_t items, int index, int count) {
  return {items * index / count, items * (index + 1) / count};
}

/**
 * Every thread takes its own share from the front; when it is through, it takes the last items of others. So
 * a thread that comes late or is held up delays nobody longer than by the item it is at.
 */
class WorkShares {
 public:
  /** Fewer than 2^31 items, in shares for threads [0, threads). */
  WorkShares(int64_t items, int threads);

  /** The next item for `thread`; -1 when all are taken. */
  int64_t take(int thread);
  /** The thread's items that it has taken are done, `count` of them. */
  void finish(int64_t count);
  /** Returns true when all items are done. Call finish first. False: somebody has given up. */
  bool await() const;
  /** Some items that were taken will never be done: nobody shall wait for them. */
  void give_up();

 private:
  struct alignas(64) Share {
    std::atomic<uint64_t> range;  // end in the high half, begin in the low one
  };
  const int threads_;
  std::unique_ptr<Share[]> shares_;
  alignas(64) std::atomic<int64_t> unfinished_;  // far below zero: given up
};

}  // namespace padless
