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
#include "lib/engine/cpu/gemm/code_rows.h"
#include "lib/engine/cpu/gemm/tile_epilogue.h"
#include "lib/engine/cpu/simd/tiles.h"

namespace padless {
namespace {

constexpr int kTileSteps = 16;  // rows of weights
constexpr int kSumTiles = 2;    // each way
static_assert(kGroupRows == kSumTiles * kTileRows && kPieceBytes == kTileBytes);

// Tiles 0 to 3 are sums, row by row; then come two of A and two of weights.
constexpr int kATile = 4;
constexpr int kBTile = 6;

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

struct BF16Tiles {
  using Scalar = float;
  using Scales = NoScales;
  using LineScales = LineBias;
  static constexpr bool kOneATile = false;
  static constexpr bool kRoundsOperands = true;
  using Product = PairProduct;
  static TileShapes shapes(int rows) { return shapes_for(rows); }
  static void store_bf16(char* p, simd::Vec values, int n) { padless::store_bf16(p, values, n); }
  static void store_bf16_line(char* p, simd::Vec low, simd::Vec high) {
    padless::store_bf16_line(p, low, high);
  }
  static simd::Vec value(Scales, int64_t, const float* row_sums, int vector) {
    return simd::load(row_sums + vector * simd::Vec::kLanes);
  }
};

struct I8Tiles {
  using Scalar = int32_t;
  using Scales = CodeScales;
  using LineScales = PairedCodeScales;
  static constexpr bool kOneATile = false;
  static constexpr bool kRoundsOperands = true;
  using Product = ByteQuadProduct;
  static TileShapes shapes(int rows) { return shapes_for(rows); }
  static void store_bf16(char* p, simd::Vec values, int n) { padless::store_bf16(p, values, n); }
  static void store_bf16_line(char* p, simd::Vec low, simd::Vec high) {
    padless::store_bf16_line(p, low, high);
  }
  static simd::Vec value(const Scales& scales, int64_t row, const int32_t* row_sums, int vector) {
    return dequantise(scales, row, row_sums, vector);
  }
};

/** What else is done during the products of a tile of rows, a part with each of their steps. */
template <class Dot, class Epilogue = CalledEpilogue<Dot>>
class Meanwhile {
 public:
  using Scalar = typename Dot::Scalar;

  /** Fetches the next panel during `steps` steps. */
  Meanwhile(const PanelTask& task, int64_t steps)
      : task_(task),
        epilogue_(task),
        fetch_from_(task.next_panel),
        fetch_bytes_((task.next_panel_bytes + steps - 1) / steps) {}

  /** The products of a tile of rows begin, of so many steps. */
  void begin(int64_t steps) { rows_a_step_ = static_cast<int>((kSumTiles * kTileRows + steps - 1) / steps); }
  [[gnu::always_inline]] void step() {
    if (task_.fetch_into_l1) {
      for (int64_t byte = 0; byte < fetch_bytes_; byte += 64) __builtin_prefetch(fetch_from_ + byte, 0, 3);
    } else {
      for (int64_t byte = 0; byte < fetch_bytes_; byte += 64) __builtin_prefetch(fetch_from_ + byte, 0, 2);
    }
    fetch_from_ += fetch_bytes_;
    finish_rows(rows_a_step_);
  }
  /** The products are done; their sums go to memory during the next ones. */
  void finish_later(int64_t row, int rows, const Scalar* sums) {
    finish_rows(rows_);
    epilogue_.start(row, sums);
    rows_ = rows;
  }
  void finish_now() { finish_rows(rows_); }

 private:
  [[gnu::always_inline]] void finish_rows(int most) {
    const int rows = rows_ < most ? rows_ : most;
    if (rows == 0) return;
    epilogue_.finish(rows);
    rows_ -= rows;
  }

  const PanelTask& task_;
  Epilogue epilogue_;
  const char* fetch_from_;
  const int64_t fetch_bytes_;
  int rows_a_step_ = 0;
  int rows_ = 0;
};

/** Calls verb<tile>(pointer) for each tile of sums[rows, vectors]; tile kSumStride is the second row's first.
 */
template <int kRowTiles, int kVectors, int kSumStride, class Verb, int kIndex = 0>
[[gnu::always_inline]] inline void each_sum(char* sums, const Verb& verb) {
  constexpr int kRow = kIndex / kVectors;
  constexpr int kVector = kIndex % kVectors;
  verb.template operator()<kRow * kSumStride + kVector>(sums + kRow * kTileRows * kVectors * kTileBytes +
                                                        kVector * kTileBytes);
  if constexpr (kIndex + 1 < kRowTiles * kVectors) {
    each_sum<kRowTiles, kVectors, kSumStride, Verb, kIndex + 1>(sums, verb);
  }
}

template <class Tiles, int kRowTiles, int kVectors, int kSumStride>
inline void begin_sums(Tiles& tiles, void* sums, bool resume) {
  const auto load = [&]<int kTile>(char* p) { tiles.template load<kTile>(p, kVectors * kTileBytes); };
  const auto clear = [&]<int kTile>(char*) { tiles.template zero<kTile>(); };
  if (resume) {
    each_sum<kRowTiles, kVectors, kSumStride>(static_cast<char*>(sums), load);
  } else {
    each_sum<kRowTiles, kVectors, kSumStride>(static_cast<char*>(sums), clear);
  }
}

template <class Tiles, int kRowTiles, int kVectors, int kSumStride>
inline void end_sums(Tiles& tiles, void* sums) {
  const auto store = [&]<int kTile>(char* p) { tiles.template store<kTile>(p, kVectors * kTileBytes); };
  each_sum<kRowTiles, kVectors, kSumStride>(static_cast<char*>(sums), store);
}

/** sums[rows, vectors] = (resume ? sums : 0) + a * panel over `count` tiles of steps. */
template <class Tiles, class Dot, class Epilogue, int kRowTiles, int kVectors>
void multiply_tiles(Tiles& tiles, const char* a, const RowLayout& a_rows, const char* panel, int64_t count,
                    void* sums, bool resume, Meanwhile<Dot, Epilogue>& meanwhile) {
  using Product = typename Dot::Product;
  constexpr int64_t kPanelStride = kVectors * kTileBytes;
  const int64_t a_stride = a_rows.row_step();
  const int64_t a_step = a_rows.piece_step();
  begin_sums<Tiles, kRowTiles, kVectors, kSumTiles>(tiles, sums, resume);
  for (int64_t i = 0; i < count; ++i, a += a_step, panel += kTileSteps * kPanelStride) {
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
  end_sums<Tiles, kRowTiles, kVectors, kSumTiles>(tiles, sums);
}

/** Rows [row, row + rows) against tiles of steps [first, first + count). */
struct TileBlock {
  int64_t row;
  int rows;
  int64_t first;
  int64_t count;
};

/**
 * Goes through blocks of at most `most_tiles` of `tiles_in_all` tiles of steps, and through all rows in each:
 * `multiply(tiles, block, sums, resume, meanwhile)`. Blocks end between tiles, so that they change no bits.
 */
template <class Tiles, class Dot, class Epilogue, class MultiplyBlock>
void multiply_blocks(const PanelTask& task, int64_t tiles_in_all, int64_t most_tiles,
                     const MultiplyBlock& multiply) {
  constexpr int kRows = kSumTiles * kTileRows;
  const int width = task.vectors * simd::Vec::kLanes;
  const int64_t row_tiles = (task.rows + kRows - 1) / kRows;
  Meanwhile<Dot, Epilogue> meanwhile(task, row_tiles * tiles_in_all);
  // Two tiles' sums are in use at a time, where all need not be kept.
  const bool keeps_sums = most_tiles < tiles_in_all || task.resumes || !task.finishes;
  Tiles tiles;
  int configured = 0;
  for (int64_t first = 0; first < tiles_in_all; first += most_tiles) {
    const int64_t left = tiles_in_all - first;
    const int64_t count = left < most_tiles ? left : most_tiles;
    const bool last = count == left && task.finishes;
    int rows;
    for (int64_t row = 0; row < task.rows; row += rows) {
      rows = task.rows - row < kRows ? static_cast<int>(task.rows - row) : kRows;
      if (Dot::kOneATile && rows < kRows && rows > kTileRows) rows = kTileRows;
      if (rows != configured) tiles.configure(Dot::shapes(rows));
      configured = rows;
      auto* sums = static_cast<typename Dot::Scalar*>(task.accumulators) +
                   (keeps_sums ? row : row % (2 * kRows)) * width;
      meanwhile.begin(count);
      multiply(tiles, TileBlock{row, rows, first, count}, sums, first > 0 || task.resumes, meanwhile);
      if (last) meanwhile.finish_later(row, rows, sums);
    }
  }
  meanwhile.finish_now();
  tiles.release();
}

template <class Tiles, class Dot, class Epilogue>
void multiply_panel_with(const PanelTask& task) {
  using While = Meanwhile<Dot, Epilogue>;
  using Multiply = void (*)(Tiles&, const char*, const RowLayout&, const char*, int64_t, void*, bool, While&);
  constexpr Multiply kMultiply[kSumTiles][kSumTiles] = {
      {multiply_tiles<Tiles, Dot, Epilogue, 1, 1>, multiply_tiles<Tiles, Dot, Epilogue, 1, 2>},
      {multiply_tiles<Tiles, Dot, Epilogue, 2, 1>, multiply_tiles<Tiles, Dot, Epilogue, 2, 2>}};
  multiply_blocks<Tiles, Dot, Epilogue>(
      task, task.steps / kTileSteps, (task.block_steps + kTileSteps - 1) / kTileSteps,
      [&](Tiles& tiles, const TileBlock& block, typename Dot::Scalar* sums, bool resume, While& meanwhile) {
        kMultiply[block.rows > kTileRows][task.vectors - 1](
            tiles, task.a + task.a_rows.offset(block.row, block.first * kTileBytes), task.a_rows,
            task.panel + block.first * kTileSteps * task.vectors * kTileBytes, block.count, sums, resume,
            meanwhile);
      });
}

template <class Tiles, class Dot>
void multiply_panel_in_tiles(const PanelTask& task) {
  if (is_line_task<Dot>(task)) {
    const bool bf16 = task.bf16_out != nullptr;
    if (task.activation == Activation::kNone) {
      return bf16 ? multiply_panel_with<Tiles, Dot, CalledLineEpilogue<Dot, Activation::kNone, true>>(task)
                  : multiply_panel_with<Tiles, Dot, CalledLineEpilogue<Dot, Activation::kNone, false>>(task);
    }
    if (task.activation == Activation::kGeluErf && bf16) {
      return multiply_panel_with<Tiles, Dot, LineEpilogue<Dot, Activation::kGeluErf, true>>(task);
    }
  }
  multiply_panel_with<Tiles, Dot, CalledEpilogue<Dot>>(task);
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
      .rows_in_tiles = true,
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
