// The order in which blocks take the tiles of a matrix: a group of row tiles before the next column tile, so
// that the operands of tiles in flight meet in L2.
#pragma once

#include "cuda/platform.cuh"

namespace padless::cuda {

struct TilePosition {
  int m, n;
};

DEVICE TilePosition tile_position(int index, int tiles_m, int tiles_n) {
  constexpr int kGroup = 8;
  const int group = index / (kGroup * tiles_n), first = group * kGroup, size = min(kGroup, tiles_m - first);
  const int within = index - group * kGroup * tiles_n;
  return {first + within % size, within / size};
}

// The share of one cluster of a persistent grid: tiles cluster, cluster + clusters, ... of a matrix whose
// rows are known on the device only. The blocks of a cluster take kRowBlocks neighbouring row tiles of
// kColumnBlocks neighbouring column tiles; the last of them may lie past the rows or the columns.
template <int kTileM, int kTileN, int kRowBlocks, int kColumnBlocks>
struct PersistentTiles {
  static constexpr int kRows = kTileM * kRowBlocks, kCols = kTileN * kColumnBlocks,
                       kCluster = kRowBlocks * kColumnBlocks;
  int tiles_m;  // of a whole cluster, as tiles_n
  int tiles_n;
  int cluster, clusters;
  int row_rank, column_rank;  // of this block among the row and the column blocks

  DEVICE PersistentTiles(int rows, int cols)
      : tiles_m((rows + kRows - 1) / kRows),
        tiles_n((cols + kCols - 1) / kCols),
        cluster(static_cast<int>(blockIdx.x) / kCluster),
        clusters(static_cast<int>(gridDim.x) / kCluster),
        row_rank(static_cast<int>(blockIdx.x) % kCluster / kColumnBlocks),
        column_rank(static_cast<int>(blockIdx.x) % kColumnBlocks) {}

  // How many tiles this cluster takes.
  DEVICE int count() const {
    const int tiles = tiles_m * tiles_n;
    return tiles <= cluster ? 0 : (tiles - cluster - 1) / clusters + 1;
  }
  // The first row and column of this block's part of the i-th of them.
  struct Origin {
    int row, col;
  };
  DEVICE Origin origin(int i) const {
    const TilePosition tile = tile_position(cluster + i * clusters, tiles_m, tiles_n);
    return {tile.m * kRows + row_rank * kTileM, tile.n * kCols + column_rank * kTileN};
  }
};

}  // namespace padless::cuda
