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
// rows are known on the device only. The blocks of a cluster take neighbouring row tiles of one column tile;
// the last of them may lie past the rows.
template <int kTileM, int kTileN, int kCluster>
struct PersistentTiles {
  int tiles_m;  // of a whole cluster
  int tiles_n;
  int cluster, clusters, rank;

  DEVICE PersistentTiles(int rows, int cols)
      : tiles_m((rows + kTileM * kCluster - 1) / (kTileM * kCluster)),
        tiles_n((cols + kTileN - 1) / kTileN),
        cluster(static_cast<int>(blockIdx.x) / kCluster),
        clusters(static_cast<int>(gridDim.x) / kCluster),
        rank(static_cast<int>(blockIdx.x) % kCluster) {}

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
    return {(tile.m * kCluster + rank) * kTileM, tile.n * kTileN};
  }
};

}  // namespace padless::cuda
