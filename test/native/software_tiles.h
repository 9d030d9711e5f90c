// Tile registers in plain C++, with the order of additions that Intel's manual gives for TDPBF16PS and
// TDPBUSD (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2). What the manual calls an
// error traps.
#pragma once

#include "lib/engine/cpu/simd/tiles.h"

namespace padless {
namespace {

class SoftwareTiles {
 public:
  void configure(const TileShapes& shapes) {
    require(shapes.palette == 1);
    for (int tile = 0; tile < kTiles; ++tile) {
      require((shapes.rows[tile] == 0) == (shapes.row_bytes[tile] == 0));
      require(shapes.rows[tile] <= kTileRows && shapes.row_bytes[tile] <= kTileBytes);
    }
    shapes_ = shapes;
    __builtin_memset(data_, 0, sizeof data_);
  }
  void release() { shapes_ = TileShapes{}; }

  template <int kTile>
  void zero() {
    require(shapes_.rows[kTile] > 0);
    __builtin_memset(data_[kTile], 0, sizeof data_[kTile]);
  }
  template <int kTile>
  void load(const void* p, int64_t stride) {
    zero<kTile>();
    for (int row = 0; row < shapes_.rows[kTile]; ++row) {
      __builtin_memcpy(data_[kTile][row], static_cast<const char*>(p) + row * stride,
                       shapes_.row_bytes[kTile]);
    }
  }
  template <int kTile>
  void stream(const void* p, int64_t stride) {
    load<kTile>(p, stride);
  }
  template <int kTile>
  void store(void* p, int64_t stride) const {
    for (int row = 0; row < shapes_.rows[kTile]; ++row) {
      __builtin_memcpy(static_cast<char*>(p) + row * stride, data_[kTile][row], shapes_.row_bytes[kTile]);
    }
  }
  template <class Product, int kSums, int kA, int kB>
  void dot() {
    require(shapes_.rows[kSums] == shapes_.rows[kA] && shapes_.row_bytes[kSums] == shapes_.row_bytes[kB]);
    require(shapes_.row_bytes[kA] == shapes_.rows[kB] * 4);
    for (int row = 0; row < shapes_.rows[kA]; ++row) {
      for (int lane = 0; lane < shapes_.row_bytes[kB] / 4; ++lane) {
        if constexpr (Product::kFloat) {
          add_pairs(data_[kSums][row] + lane * 4, data_[kA][row], kB, lane);
        } else {
          add_quads(data_[kSums][row] + lane * 4, data_[kA][row], kB, lane);
        }
      }
    }
  }

 private:
  static constexpr int kTiles = 8;

  static void require(bool condition) {
    if (!condition) __builtin_trap();
  }
  static float widen(const char* p) {
    uint16_t half;
    __builtin_memcpy(&half, p, sizeof half);
    const uint32_t bits = uint32_t{half} << 16;
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
  }

  /** Even and odd elements are two chains of fused additions; their sum is added at the end. */
  void add_pairs(char* sum, const char* a, int b_tile, int lane) const {
    float even = 0;
    float odd = 0;
    for (int step = 0; step < shapes_.rows[b_tile]; ++step) {
      const char* b = data_[b_tile][step] + lane * 4;
      even = __builtin_fmaf(widen(a + step * 4), widen(b), even);
      odd = __builtin_fmaf(widen(a + step * 4 + 2), widen(b + 2), odd);
    }
    float total;
    __builtin_memcpy(&total, sum, sizeof total);
    total += even + odd;
    __builtin_memcpy(sum, &total, sizeof total);
  }

  void add_quads(char* sum, const char* a, int b_tile, int lane) const {
    int32_t total;
    __builtin_memcpy(&total, sum, sizeof total);
    for (int step = 0; step < shapes_.rows[b_tile]; ++step) {
      const char* b = data_[b_tile][step] + lane * 4;
      for (int i = 0; i < 4; ++i) total += static_cast<uint8_t>(a[step * 4 + i]) * static_cast<int8_t>(b[i]);
    }
    __builtin_memcpy(sum, &total, sizeof total);
  }

  TileShapes shapes_;
  char data_[kTiles][kTileRows][kTileBytes];
};

}  // namespace
}  // namespace padless
