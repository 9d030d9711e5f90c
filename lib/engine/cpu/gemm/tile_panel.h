// Matrix products over one panel on tile registers (simd/tiles.h).
//
// A tile of weights is 16 steps of one vector, exactly as panels of 16-lane vectors keep them (kernel.h): a
// panel needs no other packing, only whole tiles of steps (GemmKernel::step_multiple), which zeros fill up.
// Two tiles of rows times two vectors use all eight registers: four of sums, two of A, two of weights. Every
// sum takes tiles of 16 steps in rising order, so its bits depend on its own row and column alone. Fewer rows
// than a tile has make a smaller tile: nothing beyond the last row is read.
//
// Rows are read once a panel and stream past L1, where the panel's steps stay. The tile unit and the vector
// units work side by side: while a tile's products run, the sums of the one before go through the epilogue.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/engine/cpu/gemm/bf16_rows.h"
#include "lib/engine/cpu/gemm/codes.h"
#include "lib/engine/cpu/gemm/epilogue.h"
#include "lib/engine/cpu/simd/tiles.h"

namespace padless {
namespace {

constexpr int kTileSteps = 16;  // rows of weights
constexpr int kSumTiles = 2;    // each way

// Tiles 0 to 3 are sums, row by row; then come two of A and two of weights.
constexpr int kATile = 4;
constexpr int kBTile = 6;

struct BF16Tiles {
  using Scalar = float;
  using Scales = NoScales;
  static constexpr bool kRoundsOperands = true;
  using Product = PairProduct;
  static void store_bf16(char* p, simd::Vec values, int n) { padless::store_bf16(p, values, n); }
  static simd::Vec value(Scales, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
};

struct I8Tiles {
  using Scalar = int32_t;
  using Scales = CodeScales;
  static constexpr bool kRoundsOperands = true;
  using Product = ByteQuadProduct;
  static void store_bf16(char* p, simd::Vec values, int n) { padless::store_bf16(p, values, n); }
  static simd::Vec value(const Scales& scales, int64_t row, const int32_t* row_sums, int vector) {
    return dequantise(scales, row, row_sums, vector);
  }
};

TileShapes shapes_for(int rows) {
  TileShapes shapes;
  const auto set = [&](int tile, int tile_rows) {
    shapes.rows[tile] = static_cast<uint8_t>(tile_rows);
    shapes.row_bytes[tile] = tile_rows > 0 ? kTileBytes : 0;
  };
  for (int i = 0; i < kSumTiles; ++i) {
    const int left = rows - i * kTileRows;
    const int tile_rows = left < 0 ? 0 : left < kTileRows ? left : kTileRows;
    for (int v = 0; v < kSumTiles; ++v) set(i * kSumTiles + v, tile_rows);
    set(kATile + i, tile_rows);
    set(kBTile + i, kTileSteps);
  }
  return shapes;
}

/** What else is done during the products of a tile of rows, a part with each of their steps. */
template <class Dot>
class Meanwhile {
 public:
  using Scalar = typename Dot::Scalar;

  /** Fetches the next panel during `steps` steps. */
  Meanwhile(const PanelTask& task, int64_t steps)
      : task_(task),
        width_(task.vectors * simd::Vec::kLanes),
        finish_(task.glu ? choose_finish<Dot, true>(task.activation)
                         : choose_finish<Dot, false>(task.activation)),
        fetch_from_(task.next_panel),
        fetch_bytes_((task.next_panel_bytes + steps - 1) / steps) {}

  /** The products of these rows begin, of so many steps; they are the `last` ones. */
  void begin(int64_t row, int rows, int64_t steps, bool last) {
    rows_a_step_ = static_cast<int>((kSumTiles * kTileRows + steps - 1) / steps);
    result_row_ = row;
    result_rows_ = last ? rows : 0;
  }
  void step() {
    if (task_.fetch_into_l1) {
      for (int64_t byte = 0; byte < fetch_bytes_; byte += 64) __builtin_prefetch(fetch_from_ + byte, 0, 3);
    } else {
      for (int64_t byte = 0; byte < fetch_bytes_; byte += 64) __builtin_prefetch(fetch_from_ + byte, 0, 2);
    }
    fetch_from_ += fetch_bytes_;
    const int results = result_rows_ < rows_a_step_ ? result_rows_ : rows_a_step_;
    prefetch_result(task_, result_row_, results);
    result_row_ += results;
    result_rows_ -= results;
    finish_rows(rows_a_step_);
  }
  /** The products are done; their sums go to memory during the next ones. */
  void finish_later(int64_t row, int rows, const Scalar* sums) {
    finish_rows(rows_);
    row_ = row;
    rows_ = rows;
    sums_ = sums;
  }
  void finish_now() { finish_rows(rows_); }

 private:
  void finish_rows(int most) {
    const int rows = rows_ < most ? rows_ : most;
    if (rows == 0) return;
    finish_(task_, row_, rows, sums_);
    row_ += rows;
    rows_ -= rows;
    sums_ += rows * width_;
  }

  const PanelTask& task_;
  const int width_;
  const FinishTile<Dot> finish_;
  const char* fetch_from_;
  const int64_t fetch_bytes_;
  int rows_a_step_ = 0;
  int64_t result_row_ = 0;
  int result_rows_ = 0;
  int64_t row_ = 0;
  int rows_ = 0;
  const Scalar* sums_ = nullptr;
};

/** sums[rows, vectors] = (resume ? sums : 0) + a * panel over `count` tiles of steps. */
template <class Tiles, class Dot, int kRowTiles, int kVectors>
void multiply_tiles(Tiles& tiles, const char* a, int64_t a_stride, const char* panel, int64_t count,
                    void* sums, bool resume, Meanwhile<Dot>& meanwhile) {
  using Product = typename Dot::Product;
  constexpr int64_t kPanelStride = kVectors * kTileBytes;
  char* corner = static_cast<char*>(sums);
  constexpr int64_t kLower = kTileRows * kPanelStride;
  const auto each_sum = [&]<class Verb>(const Verb& verb) {
    verb.template operator()<0>(corner);
    if constexpr (kVectors > 1) verb.template operator()<1>(corner + kTileBytes);
    if constexpr (kRowTiles > 1) verb.template operator()<2>(corner + kLower);
    if constexpr (kRowTiles > 1 && kVectors > 1) verb.template operator()<3>(corner + kLower + kTileBytes);
  };
  if (resume) {
    each_sum([&]<int kTile>(char* p) { tiles.template load<kTile>(p, kPanelStride); });
  } else {
    each_sum([&]<int kTile>(char*) { tiles.template zero<kTile>(); });
  }
  for (int64_t i = 0; i < count; ++i, a += kTileBytes, panel += kTileSteps * kPanelStride) {
    tiles.template stream<kATile>(a, a_stride);
    tiles.template load<kBTile>(panel, kPanelStride);
    tiles.template dot<Product, 0, kATile, kBTile>();
    if constexpr (kVectors > 1) {
      tiles.template load<kBTile + 1>(panel + kTileBytes, kPanelStride);
      tiles.template dot<Product, 1, kATile, kBTile + 1>();
    }
    if constexpr (kRowTiles > 1) {
      tiles.template stream<kATile + 1>(a + kTileRows * a_stride, a_stride);
      tiles.template dot<Product, 2, kATile + 1, kBTile>();
      if constexpr (kVectors > 1) tiles.template dot<Product, 3, kATile + 1, kBTile + 1>();
    }
    meanwhile.step();
  }
  each_sum([&]<int kTile>(char* p) { tiles.template store<kTile>(p, kPanelStride); });
}

template <class Tiles, class Dot>
void multiply_panel_in_tiles(const PanelTask& task) {
  static_assert(simd::Vec::kLanes * 4 == kTileBytes);
  constexpr int kRows = kSumTiles * kTileRows;
  using Multiply = void (*)(Tiles&, const char*, int64_t, const char*, int64_t, void*, bool, Meanwhile<Dot>&);
  constexpr Multiply kMultiply[kSumTiles][kSumTiles] = {
      {multiply_tiles<Tiles, Dot, 1, 1>, multiply_tiles<Tiles, Dot, 1, 2>},
      {multiply_tiles<Tiles, Dot, 2, 1>, multiply_tiles<Tiles, Dot, 2, 2>}};
  const int width = task.vectors * simd::Vec::kLanes;
  // Blocks end between tiles, so that they change no bits.
  const int64_t tiles_in_all = task.steps / kTileSteps;
  const int64_t block = (task.block_steps + kTileSteps - 1) / kTileSteps;
  const int64_t row_tiles = (task.rows + kRows - 1) / kRows;
  Meanwhile<Dot> meanwhile(task, row_tiles * tiles_in_all);
  Tiles tiles;
  int configured = 0;
  for (int64_t first = 0; first < tiles_in_all; first += block) {
    const bool last = first + block >= tiles_in_all;
    const int64_t count = last ? tiles_in_all - first : block;
    const char* panel = task.panel + first * kTileSteps * task.vectors * kTileBytes;
    for (int64_t row = 0; row < task.rows; row += kRows) {
      const int rows = task.rows - row < kRows ? static_cast<int>(task.rows - row) : kRows;
      if (rows != configured) tiles.configure(shapes_for(rows));
      configured = rows;
      // Two tiles' sums are in use at a time, where all need not be kept.
      const int64_t sums_row = block >= tiles_in_all ? row % (2 * kRows) : row;
      auto* sums = static_cast<typename Dot::Scalar*>(task.accumulators) + sums_row * width;
      meanwhile.begin(row, rows, count, last);
      kMultiply[rows > kTileRows][task.vectors - 1](tiles, task.a + row * task.a_stride + first * kTileBytes,
                                                    task.a_stride, panel, count, sums, first > 0, meanwhile);
      if (last) meanwhile.finish_later(row, rows, sums);
    }
  }
  meanwhile.finish_now();
  tiles.release();
}

/** What the kernels of both element types have in common. */
template <class Tiles, class Dot>
constexpr GemmKernel tile_kernel(const char* name, OperandFormat operand, PanelFormat panel, int group) {
  return {
      .name = name,
      .operand = operand,
      .panel = panel,
      .lanes = simd::Vec::kLanes,
      .vectors = kSumTiles,
      .glu_vectors = kSumTiles,
      .group = group,
      .tile_rows = kSumTiles * kTileRows,
      .step_multiple = kTileSteps,
      .stores_bf16 = StoresBF16<Dot>,
      .panel_in_l1 = true,
      .multiply = multiply_panel_in_tiles<Tiles, Dot>,
      .convert_rows = group == 2 ? convert_rows_to_bf16 : convert_rows_to_codes<uint8_t>,
      .convert_bf16_rows = group == 2 ? nullptr : convert_rows_to_codes<uint8_t, uint16_t>,
  };
}

template <class Tiles>
constexpr GemmKernel bf16_tile_kernel() {
  return tile_kernel<Tiles, BF16Tiles>("bf16 tiles", OperandFormat::kBF16, PanelFormat::kBF16, 2);
}

/** The integer sums, and so the bits, of every other int8 kernel. */
template <class Tiles>
constexpr GemmKernel i8_tile_kernel() {
  return tile_kernel<Tiles, I8Tiles>("i8 tiles", OperandFormat::kU8, PanelFormat::kI8, 4);
}

}  // namespace
}  // namespace padless
