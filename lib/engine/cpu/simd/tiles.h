// Tile registers: 16 rows of 64 bytes each, as AMX has them, and what products on them are called.
//
//   struct Tiles {
//     void configure(const TileShapes&);                          // and forget what tiles hold
//     void release();
//     template <int kTile> void zero();
//     template <int kTile> void load(const void*, int64_t stride);  // bytes from row to row
//     template <int kTile> void stream(const void*, int64_t stride);  // the same, not to be kept in L1
//     template <int kTile> void store(void*, int64_t stride) const;
//     template <class Product, int kSums, int kA, int kB> void dot();  // sums += a b
//   };
#pragma once

#include <cstdint>

namespace padless {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileBytes = 64;  // a row

/** Memory operand of LDTILECFG for palette 1. */
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};  // 0: not used
  uint8_t rows[16] = {};
};

struct PairProduct {
  static constexpr bool kFloat = true;  // bf16 pairs to fp32: TDPBF16PS
};
struct ByteQuadProduct {
  static constexpr bool kFloat = false;  // four unsigned by four signed bytes to int32: TDPBUSD
};

}  // namespace
}  // namespace padless
