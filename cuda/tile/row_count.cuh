// How many rows a kernel works on: known on the host, or read on the device so that one captured graph serves
// batches of every size up to its capacity.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda {

struct RowCount {
  int32_t capacity;
  const int32_t* on_device;  // or null: capacity

  // From L2: L1 may hold what the count was before the copy that wrote it, for who asks ahead of
  // wait_for_stream().
  DEVICE int32_t get() const {
    return on_device == nullptr ? capacity : min(max(__ldcg(on_device), 0), capacity);
  }
};

}  // namespace padless::cuda
