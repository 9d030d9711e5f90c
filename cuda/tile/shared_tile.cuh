// A [kRows, kCols] tile of a 16-bit type in shared memory, for cp.async in and ldmatrix out.
//
// Rows are cut into 16-byte chunks, and the chunks of row r are permuted by XOR with bits of r, so that the
// eight rows of one 8x8 matrix lie in different banks: rows of a multiple of 128 bytes use r % 8; rows of an
// odd multiple of 64 alternate between the halves of the banks by themselves and use r / 2 % 4.
#pragma once

#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/ldmatrix.cuh"

namespace padless::cuda {

template <class T, int kRows_, int kCols_>
struct alignas(128) SharedTile {
  static_assert(sizeof(T) == 2 && kCols_ % 32 == 0);
  static constexpr int kRows = kRows_, kCols = kCols_, kChunkElements = 8, kChunks = kCols / kChunkElements;

  T elements[kRows][kCols];

  static DEVICE int swizzled(int row, int chunk) {
    return kChunks % 8 == 0 ? chunk ^ (row & 7) : chunk ^ (row >> 1 & 3);
  }
  DEVICE T* chunk(int row, int chunk) { return &elements[row][swizzled(row, chunk) * kChunkElements]; }
  DEVICE uint32_t address(int row, int chunk_index) { return ptx::cvta_to_shared(chunk(row, chunk_index)); }
};

// Starts the copy of a tile of `source` by kThreads threads: rows from `rows` on and columns from `cols` on,
// both counted from the tile's first, are written as zero and not read.
template <int kThreads, class Tile, class T>
DEVICE void copy_tile_async(Tile& tile, const T* source, int64_t stride, int rows, int cols, int thread) {
  constexpr int kCopies = Tile::kRows * Tile::kChunks;
#pragma unroll 4  // more would keep the addresses of all copies in registers through the main loop
  for (int first = 0; first < kCopies; first += kThreads) {
    const int copy = first + thread, row = copy / Tile::kChunks, chunk = copy % Tile::kChunks;
    if (kCopies % kThreads != 0 && copy >= kCopies) break;
    const int left = row < rows ? min(max(cols - chunk * Tile::kChunkElements, 0), Tile::kChunkElements) : 0;
    const T* from = left > 0 ? source + row * stride + chunk * Tile::kChunkElements : source;
    ptx::cp_async_cg_16(tile.address(row, chunk), from, static_cast<unsigned>(left) * sizeof(T));
  }
}

// The A fragment (16 x 16) whose first element is (row, 8 * chunk).
template <class Tile>
DEVICE void load_fragment_a(uint32_t (&fragment)[4], Tile& tile, int row, int chunk, int lane) {
  ptx::ldmatrix_x4(fragment, tile.address(row + lane % 16, chunk + lane / 16));
}

// Two B fragments (16 x 8 each: k by n) of a tile stored as [n, k]: rows `row` and row + 8, k from 8 * chunk.
template <class Tile>
DEVICE void load_fragments_b(uint32_t (&first)[2], uint32_t (&second)[2], Tile& tile, int row, int chunk,
                             int lane) {
  uint32_t fragments[4];
  ptx::ldmatrix_x4(fragments, tile.address(row + lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2));
  first[0] = fragments[0], first[1] = fragments[1];
  second[0] = fragments[2], second[1] = fragments[3];
}

// Two B fragments of a tile stored as [k, n]: k from `row`, columns from 8 * chunk and the next eight.
template <class Tile>
DEVICE void load_fragments_b_transposed(uint32_t (&first)[2], uint32_t (&second)[2], Tile& tile, int row,
                                        int chunk, int lane) {
  uint32_t fragments[4];
  ptx::ldmatrix_x4_trans(fragments, tile.address(row + lane % 16, chunk + lane / 16));
  first[0] = fragments[0], first[1] = fragments[1];
  second[0] = fragments[2], second[1] = fragments[3];
}

}  // namespace padless::cuda
