#include "lib/core/work_shares.h"

#include <limits>
#include <thread>

#include "lib/core/spin.h"

namespace padless {
namespace {

constexpr int kHalf = 32;
constexpr uint64_t kLast = uint64_t{1} << kHalf;

uint64_t begin_of(uint64_t range) { return range & (kLast - 1); }
uint64_t end_of(uint64_t range) { return range >> kHalf; }

/** Takes the first or the last item of a range; -1 if it is empty. */
int64_t take_from(std::atomic<uint64_t>& range, bool first) {
  uint64_t now = range.load(std::memory_order_relaxed);
  while (begin_of(now) < end_of(now)) {
    const uint64_t rest = first ? now + 1 : now - kLast;
    if (range.compare_exchange_weak(now, rest, std::memory_order_relaxed)) {
      return static_cast<int64_t>(first ? begin_of(now) : end_of(rest));
    }
  }
  return -1;
}

}  // namespace

WorkShares::WorkShares(int64_t items, int threads)
    : threads_(threads),
      shares_(std::make_unique<Share[]>(static_cast<size_t>(threads))),
      unfinished_(items) {
  for (int i = 0; i < threads; ++i) {
    const ItemRange share = share_of(items, i, threads);
    shares_[i].range.store(static_cast<uint64_t>(share.end) << kHalf | static_cast<uint64_t>(share.begin),
                           std::memory_order_relaxed);
  }
}

int64_t WorkShares::take(int thread) {
  for (int i = 0; i < threads_; ++i) {
    const int64_t item = take_from(shares_[(thread + i) % threads_].range, i == 0);
    if (item >= 0) return item;
  }
  return -1;
}

void WorkShares::finish(int64_t count) {
  if (count > 0) unfinished_.fetch_sub(count, std::memory_order_acq_rel);
}

bool WorkShares::await() const {
  const auto done = [this] { return unfinished_.load(std::memory_order_acquire) <= 0; };
  while (!spin_until(done)) std::this_thread::yield();
  return unfinished_.load(std::memory_order_relaxed) == 0;
}

void WorkShares::give_up() {
  unfinished_.store(std::numeric_limits<int64_t>::min() / 2, std::memory_order_release);
}

}  // namespace padless
