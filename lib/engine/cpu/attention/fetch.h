// Prefetches of what the next calls read, a few lines at a time: more at once than a core keeps in flight
// would hold up the call that asks.
#pragma once

#include "lib/engine/cpu/attention/kernel.h"
#include "lib/engine/cpu/attention/lanes.h"

namespace padless::PADLESS_ISA {
namespace {

class Fetcher {
 public:
  explicit Fetcher(const AttentionFetch& fetch) : fetch_(fetch) {
    if (fetch_.rows > 0) enter();
  }
  /** Asks for the next lines. */
  void step() {
    for (int line = 0; line < kLines && row_ < fetch_.rows; ++line) {
      __builtin_prefetch(at_, 0, 2);
      at_ += kLineBytes;
      if (at_ >= end_) next();
    }
  }
  /** Asks for the rest. */
  void finish() {
    while (row_ < fetch_.rows) step();
  }

 private:
  /** Lines a step: a core keeps about that many in flight. */
  static constexpr int kLines = 16;
  static constexpr int64_t kLineBytes = 64;
  static constexpr int kMatrices = 3;

  void enter() {
    at_ = fetch_.from[matrix_] + row_ * fetch_.stride[matrix_];
    end_ = at_ + fetch_.bytes[matrix_];
  }
  void next() {
    if (++matrix_ == kMatrices) {
      matrix_ = 0;
      ++row_;
    }
    if (row_ < fetch_.rows) enter();
  }

  const AttentionFetch& fetch_;
  int64_t row_ = 0;
  int matrix_ = 0;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
};

}  // namespace
}  // namespace padless::PADLESS_ISA
