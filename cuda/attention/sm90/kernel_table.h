// Which attention kernels there are for compute capability 9.0, for the planner and the dispatch.
#pragma once

#include <cstdint>

namespace padless::cuda::sm90 {

/** Of the kernel for any length; other head dims take the portable kernels. */
constexpr bool has_head_dim(int64_t head_dim) {
  return head_dim == 32 || head_dim == 64 || head_dim == 96 || head_dim == 128;
}

/** Short kernels hold 64, 128 or 256 keys; 256 keys of a wider head leave too few registers. */
constexpr bool has_short_kernel(int max_keys, int64_t head_dim) {
  return max_keys <= 128 || (max_keys == 256 && head_dim <= 64);
}

/** Rows of queries a block takes at a time. */
constexpr int query_rows(int max_keys) { return max_keys == 64 || max_keys == 128 ? 64 : 128; }

/** Blocks that the kernels are compiled for an SM to hold at once; max_keys 0 is any length. */
constexpr int blocks_per_sm(int max_keys, int64_t head_dim) {
  if (max_keys == 64) return head_dim <= 64 ? 4 : 3;
  if (max_keys == 128) return head_dim <= 64 ? 3 : 2;
  return 1;
}

}  // namespace padless::cuda::sm90
