// Forwards that an engine records once and replays: the same ops, for every batch of one capacity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "lib/core/packed_batch.h"

namespace padless {

/**
 * Room for a batch on the device. Kernels are chosen and memory is laid out for the capacity, whatever part
 * of it a batch fills: bits never depend on whether ops were recorded.
 */
struct BatchCapacity {
  int64_t tokens = 0;  // 0: exactly what the batch has
  int64_t sequences = 0;
  bool recordable = false;  // ops over such batches are worth recording

  bool operator==(const BatchCapacity&) const = default;
};

/** f32 [T, cols] on the device that the host makes of a batch, such as the cosines of its positions. */
struct TokenRows {
  int64_t cols = 0;
  std::function<void(const PackedBatch& batch, float* rows)> fill;
};

/** Ops as a device replays them, with the memory of their temporaries. Belongs to the stream it was made on.
 */
class Recording {
 public:
  virtual ~Recording() = default;
  virtual size_t bytes() const = 0;
};

/** Of an engine, since it was opened. */
struct RecordingCounts {
  uint64_t recorded = 0;
  uint64_t replayed = 0;
  uint64_t refused = 0;  // recordings and replays that failed
};

}  // namespace padless
