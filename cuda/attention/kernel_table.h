// Which attention kernels exist: one table for the planner, the checks and the dispatch.
#pragma once

namespace padless::cuda {

constexpr int kAnyKeys = 0;

/** Keys that the short kernel of a bucket holds; the scores of 16 queries and the output must fit in
 * registers. */
constexpr bool has_short_kernel(int max_keys, int head_dim) {
  return (max_keys == 64 && head_dim <= 128) || (max_keys == 128 && head_dim <= 64);
}

/** Rows of queries a block takes. */
constexpr int query_rows(int max_keys) { return max_keys == kAnyKeys || max_keys == 64 ? 64 : 128; }

/** Keys of a tile of the kernel for any length; head dim 256 leaves registers for few. */
constexpr int flash_keys(int head_dim) { return head_dim == 256 ? 16 : 64; }

}  // namespace padless::cuda
