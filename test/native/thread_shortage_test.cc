// A task queue where the system has no thread to give.
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "lib/engine/task_queue.h"
#include "test/native/cpu_test.h"

#if defined(__linux__)
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#endif

namespace padless::test {
namespace {

#if defined(__linux__)

/** While it lives, the process has no address space for the stack of another thread. */
class NoThreads {
 public:
  NoThreads() {
    getrlimit(RLIMIT_AS, &before_);
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit tight = before_;
    tight.rlim_cur = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + (1 << 20);
    setrlimit(RLIMIT_AS, &tight);
  }
  ~NoThreads() { setrlimit(RLIMIT_AS, &before_); }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  rlimit before_;
};

void test_callers_take_turns() {
  TaskQueue queue;
  std::promise<void> begun, again;
  std::atomic<bool> first_runs = false, overlapped = false;
  std::thread::id first, second;
  std::promise<void> both;
  std::thread other([&, ready = begun.get_future()]() mutable {
    ready.wait();
    // There are threads again, but the first caller still works the queue off.
    queue.enqueue([&] {
      overlapped = first_runs.load();
      second = std::this_thread::get_id();
      both.set_value();
    });
    again.set_value();
  });
  {
    auto shortage = std::make_unique<NoThreads>();
    queue.enqueue([&] {
      first = std::this_thread::get_id();
      first_runs = true;
      shortage.reset();
      begun.set_value();
      again.get_future().wait();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // long enough for a thread to start
      first_runs = false;
    });
  }
  both.get_future().wait();
  other.join();
  check(first == std::this_thread::get_id(), "the caller did not work the queue off");
  check(!overlapped && second == first, "two threads worked one queue off");
  check(queue.run_in_order([] { return Status::ok(); }).is_ok(), "the queue still works");
  std::thread::id later;
  std::promise<void> done;
  queue.enqueue([&] {
    later = std::this_thread::get_id();
    done.set_value();
  });
  done.get_future().wait();
  check(later != std::this_thread::get_id(), "the queue has no thread of its own later on");
}

#endif

}  // namespace
}  // namespace padless::test

int main() {
#if defined(__linux__)
  padless::test::test_callers_take_turns();
#else
  std::printf("SKIP thread_shortage_test: this system has no limit that keeps threads from starting\n");
#endif
  return padless::test::finish();
}
