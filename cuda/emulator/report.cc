// Failures in words: where, who, and for a deadlock what every thread waits for.
#include <cstdio>
#include <cstring>
#include <map>

#include "cuda/emulator/mbarrier_state.h"
#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {
namespace {

std::string coordinates(const uint3& v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

std::string describe_wait(const Fiber& fiber) {
  const Wait& wait = fiber.wait;
  std::string text = std::string(wait.what) + " at " + describe(wait.where);
  if (std::strcmp(wait.what, "barrier") == 0) {
    const NamedBarrier& barrier = fiber.block->barriers[wait.id];
    text += " id " + std::to_string(wait.id) + " [" + std::to_string(barrier.here) + " of " +
            std::to_string(barrier.expected) + " threads arrived]";
  } else if (std::strcmp(wait.what, kMbarrierWait) == 0) {
    const auto* barrier = static_cast<const Mbarrier*>(wait.object);
    char state[160];
    std::snprintf(state, sizeof(state),
                  " of barrier 0x%x parity %u [phase %u, pending arrivals %u of %u, transaction bytes %lld]",
                  wait.id, wait.parity, static_cast<unsigned>(barrier->phase),
                  static_cast<unsigned>(barrier->pending), static_cast<unsigned>(barrier->expected),
                  static_cast<long long>(barrier->transaction_bytes));
    text += state;
  }
  return text;
}

}  // namespace

std::string describe(const CallSite& where) {
  const char* file = where.file_name();
  const char* slash = std::strrchr(file, '/');
  return std::string(slash != nullptr ? slash + 1 : file) + ":" + std::to_string(where.line());
}

std::string describe(const Fiber& fiber) {
  if (fiber.block == nullptr) return "the host";
  const ThreadContext& c = fiber.context;
  return "block" + coordinates(c.block_index) + " thread " + std::to_string(c.linear) + " (warp " +
         std::to_string(c.warp) + " lane " + std::to_string(c.lane) + ")";
}

bool same_site(const CallSite& a, const CallSite& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string deadlock_report() {
  std::map<std::string, std::pair<unsigned, const Fiber*>> waits;
  unsigned exited = 0;
  for (const Warp* warp : machine.active) {
    for (unsigned lane = 0; lane < warp->lane_count; lane++) {
      const Fiber* fiber = warp->lanes[lane];
      if (fiber->state == FiberState::done) {
        exited++;
      } else {
        auto& [count, example] = waits[describe_wait(*fiber)];
        if (count++ == 0) example = fiber;
      }
    }
  }
  std::string text = "DEADLOCK: no thread can make progress; " + std::to_string(exited) + " thread(s) exited";
  for (const auto& [wait, threads] : waits) {
    text += "\n  " + std::to_string(threads.first) + " thread(s) in " + wait + ", e.g. " +
            describe(*threads.second);
  }
  return text;
}

void fail(const std::string& message, CallSite where) {
  machine.failure = message + "\n  at " + describe(where) + " by " + describe(*machine.current);
  sanitizer::release(&machine);
  for (;;) switch_to(&machine.host);
}

}  // namespace padless::cuda::emulator
