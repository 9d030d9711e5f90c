// Problems for the GEMMs of sm_90a, against fp64: every tile, tails of every dimension, epilogues, rows
// counted on the device, persistent grids of few blocks, split-K, and that a row's bits do not depend on the
// tile.
#pragma once

#include "cuda/gemm/sm90/tiles.h"
#include "cuda/tests/linear_calls.h"
#include "cuda/tests/linear_problem.h"

namespace padless::cuda::test {

inline constexpr GemmKernel kPersistent = GemmKernel::kPersistent, kSwapped = GemmKernel::kSwapped;

// Quick: one case of each tile.
template <class In, class T>
void test_persistent_tiles(bool quick) {
  for (int tile = 0; tile < kPersistentTileCount; tile++) {
    const auto with = [&](LinearCase c) {
      c.tile = tile;
      c.kernel = kPersistent;
      return c;
    };
    run_case<In, T>(with({.m = 70, .n = 136, .k = 72, .residual = true}));
    if (quick) continue;
    run_case<In, T>(with({.m = 1, .n = 8, .k = 8}));
    run_case<In, T>(with({.m = 33, .n = 30, .k = 200, .activation = Activation::kGeluErf, .residual = true}));
    run_case<In, T>(with({.m = 17, .n = 20, .k = 80, .activation = Activation::kSilu, .glu = true}));
    run_case<In, T>(
        with({.m = 19, .n = 64, .k = 130, .gap = 6}));  // a row stride of a multiple of eight, K not
    run_case<In, T>(with({.m = 40, .n = 24, .k = 64, .rows = 21}));
    run_case<In, T>(with({.m = 40, .n = 24, .k = 64, .rows = 0}));
    run_case<In, float>(with({.m = 9, .n = 40, .k = 64, .residual = true, .out_f32 = true}));
    run_case<In, float>(with({.m = 9, .n = 21, .k = 64, .glu = true, .out_f32 = true}));
    // Three row tiles and three column tiles on few blocks: the ring and both warpgroups run over tiles'
    // ends.
    for (int blocks : {1, 2, 5}) {
      run_case<In, T>(
          with({.m = 2 * persistent_tile(std::is_same_v<In, e4m3>, tile).rows + 3,
                .n = 2 * persistent_tile(std::is_same_v<In, e4m3>, tile).cols + 8,
                .k = 136,
                .residual = true,
                .rows = 2 * persistent_tile(std::is_same_v<In, e4m3>, tile).rows - (blocks == 2 ? 70 : 0),
                .blocks = blocks}));
    }
  }
}

template <class In, class T>
void test_long_k() {
  for (int tile = 0; tile < kPersistentTileCount; tile++) {
    run_case<In, T>(
        {.m = 65, .n = 24, .k = 1096 + 8 * tile, .tile = tile, .kernel = kPersistent, .blocks = 1});
  }
}

template <class In, class T>
void test_epilogues() {
  for (Activation activation :
       {Activation::kGeluErf, Activation::kGeluTanh, Activation::kRelu, Activation::kSilu}) {
    for (const bool glu : {false, true}) {
      run_case<In, T>({.m = 20,
                       .n = 72,
                       .k = 64,
                       .tile = 3,
                       .activation = activation,
                       .glu = glu,
                       .bias = false,
                       .kernel = kPersistent});
      run_case<In, T>({.m = 70,
                       .n = 136,
                       .k = 64,
                       .tile = 1,
                       .activation = activation,
                       .glu = glu,
                       .residual = true,
                       .kernel = kPersistent});
      run_case<In, T>({.m = 20,
                       .n = 72,
                       .k = 64,
                       .tile = 2,
                       .activation = activation,
                       .glu = glu,
                       .residual = true,
                       .kernel = kSwapped});
    }
  }
  run_case<In, T>({.m = 5, .n = 13, .k = 24, .tile = 0, .activation = Activation::kTanh, .kernel = kSwapped});
  // Misaligned results take single elements.
  run_case<In, T>({.m = 66, .n = 67, .k = 64, .tile = 1, .residual = true, .kernel = kPersistent});
  run_case<In, float>(
      {.m = 66, .n = 67, .k = 64, .tile = 1, .residual = true, .out_f32 = true, .kernel = kPersistent});
}

template <class In, class T>
void test_swapped_tiles(bool quick) {
  for (int tile = 0; tile < kSwappedTileCount; tile++) {
    for (int splits : {1, 3}) {
      const auto with = [&](LinearCase c) {
        c.tile = tile;
        c.splits = splits;
        c.kernel = kSwapped;
        return c;
      };
      run_case<In, T>(with({.m = kSwappedTokens[tile] + 3, .n = 136, .k = 456, .residual = true}));
      if (quick) continue;
      run_case<In, T>(with({.m = 1, .n = 8, .k = 8}));  // parts beyond K are empty
      run_case<In, T>(
          with({.m = 7, .n = 30, .k = 520, .activation = Activation::kGeluErf, .residual = true}));
      run_case<In, T>(with({.m = 12, .n = 20, .k = 264, .activation = Activation::kSilu, .glu = true}));
      run_case<In, T>(with({.m = 11,
                            .n = 70,
                            .k = 200,
                            .activation = Activation::kGeluErf,
                            .residual = true,
                            .residual_first = true}));
      run_case<In, T>(with({.m = 40, .n = 72, .k = 192, .rows = 9}));
      run_case<In, T>(with({.m = 40, .n = 72, .k = 192, .rows = 0}));
      run_case<In, float>(with({.m = 9, .n = 23, .k = 130, .out_f32 = true, .gap = 6}));
    }
  }
}

// Without split-K a row has the same bits in every tile of every kernel, beside any other rows, and every
// time.
template <class In>
void test_bits() {
  using RowBits = RowBitsOf<In>;
  const RowBits bits;
  const auto all = bits.run(0, RowBits::kRows, {0, 1, kPersistent, 2});
  const auto again = bits.run(0, RowBits::kRows, {0, 1, kPersistent, 4});
  bool repeated = true;
  for (int64_t row = 0; row < RowBits::kRows; row++) repeated &= RowBits::same_row(*all, row, *again, row);
  check(repeated, "the same batch twice, on other numbers of blocks");
  for (int tile = 0; tile < kPersistentTileCount; tile++) {
    const auto some = bits.run(133, 71, {tile, 1, kPersistent, 1});
    bool equal = true;
    for (int64_t row = 0; row < 71; row++) equal &= RowBits::same_row(*some, row, *all, 133 + row);
    check(equal, concat("71 rows in persistent tile ", tile, " have the bits they have among 300"));
  }
  for (int tile = 0; tile < kSwappedTileCount; tile++) {
    const auto alone = bits.run(133, 1, {tile, 1, kSwapped});
    check(RowBits::same_row(*alone, 0, *all, 133), concat("a row alone in swapped tile ", tile));
  }
}

template <class In, class T>
void test_gemm_sm90(bool quick) {
  test_persistent_tiles<In, T>(quick);
  test_swapped_tiles<In, T>(quick);
  if (quick) return;
  test_long_k<In, T>();
  test_epilogues<In, T>();
}

}  // namespace padless::cuda::test
