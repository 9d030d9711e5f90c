// The thread pool: every index once, turns between callers, nesting, sleep, fork and exit.
#include "lib/core/thread_pool.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lib/core/work_shares.h"
#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

void test_every_index_once() {
  for (int round = 0; round < 2000; ++round) {
    const int threads = 1 + round % 6;
    std::vector<std::atomic<int>> calls(static_cast<size_t>(threads));
    ThreadPool::shared().run(threads, [&](int index, int count) {
      check(count == threads, concat("count ", count, " of ", threads));
      ++calls[static_cast<size_t>(index)];
    });
    for (int i = 0; i < threads; ++i) {
      check(calls[static_cast<size_t>(i)] == 1,
            concat("round ", round, ": index ", i, " of ", threads, " ran ",
                   calls[static_cast<size_t>(i)].load(), " times"));
    }
  }
  int calls = 0;
  ThreadPool::shared().run(0, [&](int index, int count) { calls += index == 0 && count == 1; });
  check(calls == 1, "0 threads mean one");
}

void test_callers_take_turns() {
  std::atomic<int> inside{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        ThreadPool::shared().run(2,
                                 [&](int, int) { check(++inside <= 2, "two regions at a time"), --inside; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void test_nested_region_runs_alone() {
  std::atomic<int> inner{0};
  ThreadPool::shared().run(3, [&](int, int) {
    ThreadPool::shared().run(3, [&](int index, int count) {
      check(index == 0 && count == 1, "a nested region has one thread");
      ++inner;
    });
  });
  check(inner == 3, "every nested region runs once");
}

void test_shares() {
  for (int64_t items : {0, 1, 2, 7, 64, 1001}) {
    for (int shares = 1; shares <= 5; ++shares) {
      // Fewer threads than shares too: whoever there is does it all.
      for (int threads = 1; threads <= shares; ++threads) {
        WorkShares work(items, shares);
        std::vector<std::atomic<int>> calls(static_cast<size_t>(items));
        ThreadPool::shared().run(threads, [&](int index, int) {
          int64_t done = 0;
          for (int64_t item = work.take(index); item >= 0; item = work.take(index), ++done) {
            ++calls[static_cast<size_t>(item)];
          }
          work.finish(done);
          work.await();
          for (const auto& each : calls)
            check(each == 1, "nobody passes before every item is done, and once");
        });
      }
    }
  }
}

void test_shares_of_a_late_thread() {
  WorkShares work(10, 2);
  check(work.take(0) == 0 && work.take(0) == 1, "the own share from its front");
  for (int64_t expected : {2, 3, 4, 9, 8, 7, 6, 5, -1}) {
    check(work.take(0) == expected, concat("next comes ", expected));
  }
  check(work.take(1) == -1, "nothing is left to the thread that comes late");
  work.finish(10);
  work.await();
}

/** The message of what run() throws; empty if it throws nothing. */
std::string thrown_by(int threads, const std::function<void(int, int)>& work) {
  try {
    ThreadPool::shared().run(threads, work);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

void test_exceptions() {
  for (int thrower = 0; thrower < 4; ++thrower) {
    std::atomic<int> calls{0};
    const std::string thrown = thrown_by(4, [&](int index, int) {
      ++calls;
      if (index == thrower) throw std::runtime_error("one");
    });
    check(thrown == "one" && calls == 4,
          concat("thread ", thrower, " throws: ", thrown, ", ", calls.load(), " calls"));
  }
  check(thrown_by(3, [](int, int) { throw std::runtime_error("all"); }) == "all", "all threads throw");
  check(thrown_by(1, [](int, int) { throw std::runtime_error("alone"); }) == "alone",
        "the only thread throws");
  std::atomic<int> widest{0};
  check(thrown_by(4, [&](int, int count) { widest = count; }).empty() && widest == 4,
        "a region after one that failed has all threads, and no failure of its own");
}

/** Threads that share out stages of work, in the second of which one gives up. */
void test_shares_given_up() {
  for (int thrower = 0; thrower < 3; ++thrower) {
    WorkShares first(30, 3), second(30, 3);
    std::atomic<int> beyond{0};
    const std::string thrown = thrown_by(3, [&](int index, int) {
      const auto work_off = [&](WorkShares& shares, bool throws) {
        int64_t done = 0;
        for (int64_t item = shares.take(index); item >= 0; item = shares.take(index), ++done) {
          if (throws && item == 10 * thrower) {
            shares.give_up();
            throw std::runtime_error("gave up");
          }
        }
        shares.finish(done);
        return shares.await();
      };
      check(work_off(first, false), "nobody gave up yet");
      if (work_off(second, true)) ++beyond;
    });
    check(thrown == "gave up" && beyond == 0, concat(beyond.load(), " threads went on; thrown: ", thrown));
  }
}

/** Threads that are woken for nothing, before a region and during one, run each region once. */
void test_roused_threads() {
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) {
      ThreadPool::shared().rouse();
      std::this_thread::sleep_for(std::chrono::microseconds(70));
    }
  });
  std::atomic<int> calls{0};
  for (int region = 0; region < 200; ++region) {
    ThreadPool::shared().run(4, [&](int, int) { ++calls; });
    std::this_thread::sleep_for(std::chrono::microseconds(region % 4 * 100));
  }
  done = true;
  other.join();
  check(calls == 800, concat(calls.load(), " calls of 800"));
}

void test_idle_pool_sleeps() {
  ThreadPool::shared().run(4, [](int, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ThreadPool::shared().rouse();
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  timespec before, after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const double used = static_cast<double>(after.tv_sec - before.tv_sec) * 1e3 +
                      static_cast<double>(after.tv_nsec - before.tv_nsec) * 1e-6;
  check(used < 20, concat("an idle pool used ", used, " ms of CPU in 200 ms"));
}

/** A child has none of its parent's threads, and both must still work and exit. */
void test_fork() {
  ThreadPool::shared().run(3, [](int, int) {});
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    std::atomic<int> calls{0};
    ThreadPool::shared().run(3, [&](int, int) { ++calls; });
    std::exit(calls == 3 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, concat("the forked child ended with ", status));
  ThreadPool::shared().run(3, [](int, int) {});
}

/** Without room for another stack the region runs on the threads that there are. */
void test_no_thread_to_give() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    long pages = 0;
    if (std::FILE* statm = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(statm, "%ld", &pages) != 1) pages = 0;
      std::fclose(statm);
    }
    const rlim_t now = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
    const rlimit room = {now + (rlim_t{4} << 20), RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &room);
    std::atomic<int> calls{0};
    std::atomic<int> width{0};
    ThreadPool::shared().run(64, [&](int, int count) {
      ++calls;
      width = count;
    });
    std::_Exit(calls == width && width < 64 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0,
        concat("the child without memory ended with ", status));
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  test::check(available_cpus() >= 1, "at least one CPU");
  test::test_every_index_once();
  test::test_callers_take_turns();
  test::test_nested_region_runs_alone();
  test::test_shares();
  test::test_shares_of_a_late_thread();
  test::test_exceptions();
  test::test_shares_given_up();
  test::test_roused_threads();
  test::test_idle_pool_sleeps();
  test::test_fork();
  test::test_no_thread_to_give();
  return test::finish();
}
