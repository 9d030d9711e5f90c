// Memory that runs out when a test says so: operator new, and what the engine asks the system for.
#pragma once

#include <cstdint>

namespace padless::test {

/** While it lives, all threads' allocations from number `first` on fail, or that one alone. */
class FailingMemory {
 public:
  enum class Failing { kOne, kAllAfter };
  FailingMemory(int64_t first, Failing failing);
  ~FailingMemory();
  FailingMemory(const FailingMemory&) = delete;
  FailingMemory& operator=(const FailingMemory&) = delete;

  /** Whether an allocation has failed. */
  bool has_failed() const;
};

}  // namespace padless::test
