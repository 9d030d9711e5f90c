// Where rows that products read and write lie in memory.
#pragma once

#include <cstdint>

namespace padless {

/** Bytes of a row that lie together in either layout: a row of a tile register, a cache line. */
constexpr int64_t kPieceBytes = 64;
/** Rows whose pieces lie together in tiles: as many as a product's sums have in registers. */
constexpr int64_t kGroupRows = 32;

/**
 * Rows one after another, or in tiles: [group of rows][piece][row of the group][64 bytes]. Then a product
 * reads its rows, and writes those of the next product, front to back: rows far apart cost page walks, and
 * lines that the hardware cannot foresee. Memory is that of whole groups.
 */
struct RowLayout {
  int64_t stride = 0;  // bytes that a row takes; in tiles a multiple of kPieceBytes
  bool tiled = false;

  /** From a row to the next one of its group, and from a piece of a row to its next. */
  int64_t row_step() const { return tiled ? kPieceBytes : stride; }
  int64_t piece_step() const { return tiled ? kGroupRows * kPieceBytes : kPieceBytes; }
  int64_t offset(int64_t row, int64_t byte = 0) const {
    if (!tiled) return row * stride + byte;
    return row / kGroupRows * kGroupRows * stride + row % kGroupRows * kPieceBytes + piece_offset(byte);
  }
  /** Of a byte of a row, from the row's first. */
  int64_t piece_offset(int64_t byte) const { return byte / kPieceBytes * piece_step() + byte % kPieceBytes; }
};

inline constexpr int64_t whole_groups(int64_t rows) {
  return (rows + kGroupRows - 1) / kGroupRows * kGroupRows;
}

}  // namespace padless
