// Cosines and sines of rotary positions, computed in double on the host.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "lib/core/packed_batch.h"
#include "lib/encoder/spec.h"

namespace padless {

/** Thread-safe. */
class RopeTable {
 public:
  explicit RopeTable(const RopeSpec& spec) : spec_(spec) {}

  /**
   * out [T, rotary_dim], row t: factor * cos(position * frequency) of every pair, then the sines. Which
   * frequencies count goes by the last position of the token's own sequence, never by its batch.
   */
  void fill(const PackedBatch& batch, float* out);

 private:
  using Rows = std::shared_ptr<const std::vector<float>>;
  /** Rows 0 to `positions` - 1 at least, kept from call to call; null where they would take too much memory.
   */
  Rows rows(int64_t positions, const std::vector<double>& frequencies, Rows& kept);

  const RopeSpec spec_;
  std::mutex mutex_;  // guards the two below
  Rows regular_, long_;
};

}  // namespace padless
