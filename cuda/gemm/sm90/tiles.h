// The tile shapes of the sm_90a GEMMs: tables for the planner and for the dispatch.
#pragma once

#include <cstddef>

#include "lib/engine/row_program.h"

namespace padless::cuda {

/** Of the persistent kernels. */
struct PersistentTile {
  int rows, cols;
  int stages;      // of 128 bytes of K
  int row_blocks;  // of a cluster: they take neighbouring row tiles and share what they read of the weight
  bool alternate;  // each of the two consumer warpgroups takes every other tile; otherwise half of each
  int column_blocks = 1;  // of a cluster: they take neighbouring column tiles and share the rows they read

  constexpr int cluster() const { return row_blocks * column_blocks; }
};

inline constexpr PersistentTile kPersistentTiles[] = {
    {128, 256, 4, 2, false}, {128, 256, 4, 1, false}, {128, 128, 6, 2, true},
    {128, 128, 6, 1, true},  {64, 128, 8, 1, true},   {64, 64, 8, 1, true},
};
/** Of e4m3, whose sums take registers twice. Warpgroups that share a tile add up while the other multiplies.
 */
inline constexpr PersistentTile kE4M3PersistentTiles[] = {
    {128, 192, 4, 2, false}, {128, 192, 4, 1, false}, {128, 128, 6, 2, false},
    {128, 128, 6, 1, false}, {64, 128, 8, 1, true},   {64, 64, 8, 1, true},
};
inline constexpr int kPersistentTileCount = sizeof(kPersistentTiles) / sizeof(kPersistentTiles[0]);
static_assert(sizeof(kE4M3PersistentTiles) == sizeof(kPersistentTiles));
constexpr const PersistentTile& persistent_tile(bool e4m3, int index) {
  return e4m3 ? kE4M3PersistentTiles[index] : kPersistentTiles[index];
}
/** What the persistent kernel has besides none; heads' tanh and sigmoid are left to the portable one. */
constexpr bool has_fragment_activation(Activation activation) {
  return activation != Activation::kTanh && activation != Activation::kSigmoid;
}

/** Of the product with a norm, whose clusters own whole rows: by how many columns a cluster has. */
inline constexpr PersistentTile kNormTiles[] = {
    {128, 192, 4, 2, false, 2}, {64, 192, 6, 2, true, 2},   {128, 256, 4, 2, false, 2},
    {64, 256, 4, 2, true, 2},   {128, 192, 4, 2, false, 4}, {64, 192, 6, 2, true, 4},
    {128, 256, 4, 2, false, 4}, {64, 256, 4, 2, true, 4},
};
inline constexpr int kNormTileCount = sizeof(kNormTiles) / sizeof(kNormTiles[0]);
constexpr int norm_tile_columns(const PersistentTile& tile) { return tile.cols * tile.column_blocks; }
inline constexpr int kMostNormColumns = norm_tile_columns(kNormTiles[kNormTileCount - 1]);

/** Tokens of a tile of the swapped kernel, whose rows are kSwappedOutputs rows of the weight. */
inline constexpr int kSwappedTokens[] = {8, 16, 32, 64};
inline constexpr int kSwappedTileCount = sizeof(kSwappedTokens) / sizeof(kSwappedTokens[0]);
inline constexpr int kSwappedOutputs = 64, kSwappedStages = 6;

}  // namespace padless::cuda
