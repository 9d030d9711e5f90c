// Which attention kernels exist: one table for the planner, the checks and the dispatch.
#pragma once

namespace padless::cuda {

constexpr int kAnyKeys = 0;

/** Keys that short kernels hold. */
inline constexpr int kShortKeys[] = {64, 128, 256};

/** Whether the scores of 16 queries and their output fit in registers, and the keys in shared memory. */
constexpr bool has_short_kernel(int max_keys, int head_dim) {
  return (max_keys <= 128 && head_dim <= 128) || (max_keys == 256 && head_dim <= 64);
}

/** Rows of queries a block takes. */
constexpr int query_rows(int max_keys) { return max_keys == kAnyKeys || max_keys == 64 ? 64 : 128; }

/** Keys of a tile of the kernel for any length; head dim 256 leaves registers for few. */
constexpr int flash_keys(int head_dim) { return head_dim == 256 ? 16 : 64; }

/** Shared memory that a block of every supported GPU may have: 99 KiB, on compute capability 8.6 and 8.9. */
constexpr int kLeastSharedBytes = 99 * 1024;

/** Queries and keys of a block of the disentangled kernel; the position rows of a wide head fill shared
 * memory.
 */
constexpr int disentangled_queries(int head_dim) { return head_dim <= 96 ? 64 : 32; }
constexpr int disentangled_keys(int head_dim) { return head_dim == 256 ? 16 : 32; }

}  // namespace padless::cuda
