// The tile shapes of the tensor core GEMM: one table for the planner and for the dispatch.
#pragma once

#include <cstddef>

namespace padless::cuda {

struct TileShape {
  int block_m, block_n, block_k, stages, warps_m, warps_n;
  int blocks_per_sm;  // that registers allow
  constexpr int threads() const { return 32 * warps_m * warps_n; }
  constexpr size_t shared_bytes() const { return size_t{2} * stages * (block_m + block_n) * block_k; }
};

// Large shapes reuse operands, small ones fill the machine. GPUs with 99 KiB a block cannot take the first.
inline constexpr TileShape kTileShapes[] = {
    {128, 256, 64, 3, 2, 4, 1}, {128, 128, 64, 3, 2, 4, 2}, {64, 128, 64, 3, 2, 4, 2},
    {64, 64, 64, 4, 2, 2, 4},   {16, 128, 64, 4, 1, 4, 4},
};
inline constexpr int kTileShapeCount = sizeof(kTileShapes) / sizeof(kTileShapes[0]);

}  // namespace padless::cuda
