// The loops of a matrix product over one panel, for any Dot: the instruction that multiplies 4 bytes of a row
// against a vector of weights and adds to a vector of sums.
//
//   struct Dot {
//     using Scalar;                     // float or int32_t
//     using Scales;                     // made of a PanelTask and a vector: what value() needs of them
//     using Sums, Weights, Input;       // registers
//     static constexpr int kVectorBytes;  // of weights that a step takes from memory
//     static Sums zero();  static Sums load(const Scalar*);  static void store(Scalar*, Sums);
//     static Weights weights(const char*);  static Input input(const char*);  // `input` repeats 4 bytes
//     static Sums add(Sums, Input, Weights);
//     static simd::Vec value(const Scales&, int64_t row, const Scalar* row_sums, int vector);
//   };
//
// Where an instruction can repeat one lane of a register by itself, a Dot also has
//
//     using InputLanes;                  // a register with the 4 bytes of four steps
//     static InputLanes input_lanes(const char*);
//     template <int kLane> static Sums add_lane(Sums, InputLanes, Weights);
#pragma once

#include "lib/engine/cpu/gemm/epilogue.h"

namespace padless {
namespace {

/** Bytes of A that a step consumes. */
constexpr int kStepBytes = 4;
/** How far ahead of its use a panel is brought from L2 into L1. */
constexpr int kNearBytes = 1024;

/** Memory to be brought into L2 meanwhile: `bytes_per_step` on with every step. */
struct Fetch {
  const char* from;
  int64_t bytes_per_step;
};

/** Steps whose bytes of a row fill a 128-bit register. */
constexpr int kLaneSteps = 4;

template <class Dot>
concept HasLanes = requires(const char* p) { Dot::input_lanes(p); };

template <class Dot, int kVectors>
inline void load_weights(const char* panel, typename Dot::Weights (&weights)[kVectors]) {
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) weights[v] = Dot::weights(panel + v * Dot::kVectorBytes);
}

/** Fetches what a step at `panel` makes worth fetching. */
template <int kPanelStep>
inline void fetch_ahead(const char* panel, Fetch& fetch) {
  for (int byte = 0; byte < kPanelStep; byte += 64) {
    __builtin_prefetch(panel + kNearBytes + byte);
  }
  __builtin_prefetch(fetch.from, 0, 2);
#pragma GCC unroll 8
  for (int byte = 64; byte < kPanelStep; byte += 64) {
    if (fetch.bytes_per_step > byte) __builtin_prefetch(fetch.from + byte, 0, 2);
  }
  fetch.from += fetch.bytes_per_step;
}

/** Steps kLane to kLaneSteps - 1 of those whose inputs are in registers. */
template <class Dot, int kRows, int kVectors, int kLane = 0>
[[gnu::always_inline]] inline void add_lanes(const typename Dot::InputLanes (&inputs)[kRows],
                                             const char* panel, Fetch& fetch,
                                             typename Dot::Sums (&total)[kRows][kVectors]) {
  constexpr int kPanelStep = kVectors * Dot::kVectorBytes;
  typename Dot::Weights weights[kVectors];
  load_weights<Dot>(panel, weights);
  fetch_ahead<kPanelStep>(panel, fetch);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      total[r][v] = Dot::template add_lane<kLane>(total[r][v], inputs[r], weights[v]);
    }
  }
  if constexpr (kLane + 1 < kLaneSteps) {
    add_lanes<Dot, kRows, kVectors, kLane + 1>(inputs, panel + kPanelStep, fetch, total);
  }
}

/** sums[rows, vectors] = (resume ? sums : 0) + a * panel over `steps` steps. All sums stay in registers. */
template <class Dot, int kRows, int kVectors>
void multiply_tile(const char* a, int64_t a_stride, const char* panel, int64_t steps, Fetch fetch,
                   typename Dot::Scalar* sums, bool resume) {
  constexpr int kLanes = simd::Vec::kLanes;
  constexpr int kPanelStep = kVectors * Dot::kVectorBytes;
  typename Dot::Sums total[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) total[r][v] = Dot::zero();
  }
  if (resume) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) total[r][v] = Dot::load(sums + (r * kVectors + v) * kLanes);
    }
  }
  const char* row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = a + r * a_stride;
  int64_t step = 0;
  if constexpr (HasLanes<Dot>) {
    for (; step + kLaneSteps <= steps; step += kLaneSteps) {
      typename Dot::InputLanes inputs[kRows];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) inputs[r] = Dot::input_lanes(row[r] + step * kStepBytes);
      add_lanes<Dot, kRows, kVectors>(inputs, panel, fetch, total);
      panel += kLaneSteps * kPanelStep;
    }
  }
  for (; step < steps; ++step) {
    typename Dot::Weights weights[kVectors];
    load_weights<Dot>(panel, weights);
    fetch_ahead<kPanelStep>(panel, fetch);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const typename Dot::Input input = Dot::input(row[r] + step * kStepBytes);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) total[r][v] = Dot::add(total[r][v], input, weights[v]);
    }
    panel += kPanelStep;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) Dot::store(sums + (r * kVectors + v) * kLanes, total[r][v]);
  }
}

template <class Dot>
using MultiplyTile = void (*)(const char*, int64_t, const char*, int64_t, Fetch, typename Dot::Scalar*, bool);

/** The tile function of every height up to `kTileRows` at one width, by height - 1. */
template <class Dot, int kTileRows, int kVectors>
struct TilesByRows {
  MultiplyTile<Dot> tiles[kTileRows];
  constexpr TilesByRows() : tiles() { fill<1>(); }
  template <int kRows>
  constexpr void fill() {
    tiles[kRows - 1] = multiply_tile<Dot, kRows, kVectors>;
    if constexpr (kRows < kTileRows) fill<kRows + 1>();
  }
};

template <class Dot, int kTileRows, int kMaxVectors>
const MultiplyTile<Dot>* choose_tiles(int vectors) {
  static constexpr TilesByRows<Dot, kTileRows, kMaxVectors> kTiles;
  if constexpr (kMaxVectors > 1) {
    if (vectors < kMaxVectors) return choose_tiles<Dot, kTileRows, kMaxVectors - 1>(vectors);
  }
  return kTiles.tiles;
}

template <class Dot, int kTileRows, int kMaxVectors>
void multiply_panel(const PanelTask& task) {
  const MultiplyTile<Dot>* tiles = choose_tiles<Dot, kTileRows, kMaxVectors>(task.vectors);
  const FinishTile<Dot> finish =
      task.glu ? choose_finish<Dot, true>(task.activation) : choose_finish<Dot, false>(task.activation);
  const int width = task.vectors * simd::Vec::kLanes;
  const bool one_block = task.block_steps >= task.steps;
  // The next panel is fetched in equal parts during all tiles of this one, so that its traffic never comes in
  // a rush.
  const int64_t tile_steps = (task.rows + kTileRows - 1) / kTileRows * task.steps;
  const int64_t fetch_step = (task.next_panel_bytes + tile_steps - 1) / tile_steps;
  Fetch fetch{task.next_panel, fetch_step};
  for (int64_t step = 0; step < task.steps; step += task.block_steps) {
    const int64_t left = task.steps - step;
    const bool last = left <= task.block_steps;
    const int64_t steps = last ? left : task.block_steps;
    const char* panel = task.panel + step * task.vectors * Dot::kVectorBytes;
    for (int64_t row = 0; row < task.rows; row += kTileRows) {
      const int rows = task.rows - row < kTileRows ? static_cast<int>(task.rows - row) : kTileRows;
      typename Dot::Scalar* sums =
          static_cast<typename Dot::Scalar*>(task.accumulators) + (one_block ? 0 : row * width);
      if (last) prefetch_result(task, row, rows);
      tiles[rows - 1](task.a + row * task.a_rows.stride + step * kStepBytes, task.a_rows.stride, panel, steps,
                      fetch, sums, step > 0);
      fetch.from += fetch_step * steps;
      if (last) finish(task, row, rows, sums);
    }
  }
}

}  // namespace
}  // namespace padless
