#include "lib/core/thread_pool.h"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#if defined(__linux__) || defined(__APPLE__)
#include <dlfcn.h>
#include <pthread.h>
#endif

#include "lib/core/spin.h"

namespace padless {
namespace {

constexpr int kWidthBits = 16;
constexpr uint64_t kWidthMask = (uint64_t{1} << kWidthBits) - 1;

thread_local bool inside_region = false;

/** Keeps this library loaded for good: its sleeping threads must have code to return to after a dlclose. */
void pin_library() {
#if defined(__linux__) || defined(__APPLE__)
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&pin_library), &info) != 0 && info.dli_fname != nullptr) {
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  }
#endif
}

/** Marks the thread as one of a region while it lives. */
class InsideRegion {
 public:
  InsideRegion() : outer_(std::exchange(inside_region, true)) {}
  ~InsideRegion() { inside_region = outer_; }
  InsideRegion(const InsideRegion&) = delete;
  InsideRegion& operator=(const InsideRegion&) = delete;

 private:
  const bool outer_;
};

}  // namespace

struct ThreadPool::State {
  std::mutex region;  // held by the caller whose region runs

  // The region that runs; read by its workers alone, without whom it does not end.
  const std::function<void(int, int)>* work = nullptr;
  // Counts regions, with the width of the current one in the low bits: a worker outside it may look late.
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int> unfinished{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;  // of the thread that set `failed`

  std::mutex sleep;  // guards what follows
  std::condition_variable wake;
  int sleepers = 0;
  uint64_t calls = 0;  // of rouse()
  std::condition_variable finished;
  bool caller_sleeps = false;

  int workers = 0;

  void worker(int index, uint64_t seen);
  void call(const std::function<void(int, int)>& region_work, int index, int width) noexcept;
  void start_workers(int count);
  void begin(int threads, const std::function<void(int, int)>& region_work);
  void rouse();
  void await_workers();
};

void ThreadPool::State::call(const std::function<void(int, int)>& region_work, int index,
                             int width) noexcept {
  try {
    region_work(index, width);
  } catch (...) {
    if (!failed.exchange(true, std::memory_order_relaxed)) failure = std::current_exception();
  }
}

void ThreadPool::State::worker(int index, uint64_t seen) {
  inside_region = true;
  const auto has_news = [&] { return ticket.load(std::memory_order_acquire) != seen; };
  for (;;) {
    if (!spin_until(has_news)) {
      std::unique_lock<std::mutex> lock(sleep);
      ++sleepers;
      wake.wait(lock, [&, before = calls] { return has_news() || calls != before; });
      --sleepers;
      if (!has_news()) continue;
    }
    seen = ticket.load(std::memory_order_acquire);
    const int width = static_cast<int>(seen & kWidthMask);
    if (index >= width) continue;
    call(*work, index, width);
    if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard<std::mutex> lock(sleep);
      if (caller_sleeps) finished.notify_one();
    }
  }
}

void ThreadPool::State::start_workers(int count) {
  if (workers == 0) pin_library();
  const uint64_t seen = ticket.load(std::memory_order_relaxed);
  for (; workers < count; ++workers) {
    try {
      std::thread([this, index = workers + 1, seen] { worker(index, seen); }).detach();
    } catch (const std::system_error&) {
      return;  // the system has no thread to give: the region runs on fewer
    } catch (const std::bad_alloc&) {
      return;
    }
  }
}

void ThreadPool::State::begin(int threads, const std::function<void(int, int)>& region_work) {
  work = &region_work;
  unfinished.store(threads - 1, std::memory_order_relaxed);
  bool somebody_sleeps;
  {
    // Under the lock, so that no worker decides to sleep between the two lines.
    std::lock_guard<std::mutex> lock(sleep);
    const uint64_t regions = ticket.load(std::memory_order_relaxed) >> kWidthBits;
    ticket.store(((regions + 1) << kWidthBits) | static_cast<uint64_t>(threads), std::memory_order_release);
    somebody_sleeps = sleepers > 0;
  }
  if (somebody_sleeps) wake.notify_all();
}

void ThreadPool::State::rouse() {
  {
    std::lock_guard<std::mutex> lock(sleep);
    if (sleepers == 0) return;
    ++calls;
  }
  wake.notify_all();
}

void ThreadPool::State::await_workers() {
  const auto done = [&] { return unfinished.load(std::memory_order_acquire) == 0; };
  if (spin_until(done)) {
    // The last worker may still hold `sleep`; it touches nothing of the region any more.
    return;
  }
  std::unique_lock<std::mutex> lock(sleep);
  caller_sleeps = true;
  finished.wait(lock, done);
  caller_sleeps = false;
}

ThreadPool::ThreadPool() : state_(new State) {
#if defined(__linux__) || defined(__APPLE__)
  // A forked child has none of the workers, and maybe locks held by threads that it does not have.
  pthread_atfork(nullptr, nullptr, [] {
    inside_region = false;
    shared().state_ = new State;
  });
#endif
}

void ThreadPool::rouse() { state_->rouse(); }

ThreadPool& ThreadPool::shared() {
  // Never destroyed: its threads may sleep in it while the process exits.
  static ThreadPool* pool = new ThreadPool;
  return *pool;
}

void ThreadPool::run(int threads, const std::function<void(int index, int count)>& work) {
  threads = std::min(threads, static_cast<int>(kWidthMask));
  if (threads <= 1 || inside_region) {
    const InsideRegion inside;
    return work(0, 1);
  }
  State& state = *state_;
  std::lock_guard<std::mutex> turn(state.region);
  state.start_workers(threads - 1);
  threads = std::min(threads, state.workers + 1);
  const InsideRegion inside;
  if (threads == 1) return work(0, 1);
  state.begin(threads, work);
  state.call(work, 0, threads);
  state.await_workers();
  if (!state.failed.load(std::memory_order_relaxed)) return;
  state.failed.store(false, std::memory_order_relaxed);
  std::rethrow_exception(std::exchange(state.failure, nullptr));
}

}  // namespace padless
