// Where a sequence's tokens lie, by prefix sums in device memory, which no host has checked.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda {

struct TokenRange {
  int begin, end;
};

// Clamped to the `rows` that there are: wrong sums give wrong results, but touch no memory of others.
DEVICE TokenRange token_range(const int32_t* cu_seqlens, int64_t sequence, int rows) {
  const int begin = min(max(cu_seqlens[sequence], 0), rows);
  return {begin, min(max(cu_seqlens[sequence + 1], begin), rows)};
}

}  // namespace padless::cuda
