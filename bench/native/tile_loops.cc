#include "bench/native/tile_loops.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "lib/core/convert.h"
#include "lib/engine/cpu/simd/amx_tiles.h"

namespace padless::bench {
namespace {

constexpr int64_t kTilesOfSteps = TileWork::kRowBytes / kTileBytes;
constexpr int64_t kTile = kTileRows * kTileBytes;
constexpr int64_t kPanelStride = 2 * kTileBytes;
// Outputs of the weight: its panels take 72 MiB, more than a second-level cache and a share of the last one.
constexpr int64_t kOutputs = 96 * 1024;
// Rows of the result: of as many columns as a chunk of the feed-forward of BERT-base.
constexpr int64_t kResultBytes = 768 * 2;

/** On a huge page, as the engine's memory is: small pages lie in L2 where chance puts them. */
AlignedBlock allocate(int64_t bytes) {
  const size_t size = std::max(static_cast<size_t>(bytes), kHugePage);
  Result<AlignedBlock> block = AlignedBlock::allocate(size);
  if (!block.is_ok()) std::abort();
  std::memset(block.value().data(), 0, size);
  return block.take();
}

TileShapes all_tiles() {
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.rows[tile] = kTileRows;
    shapes.row_bytes[tile] = kTileBytes;
  }
  return shapes;
}

void zero_sums(AmxTiles& tiles) {
  tiles.zero<0>();
  tiles.zero<1>();
  tiles.zero<2>();
  tiles.zero<3>();
}

template <class Product>
void four_products(AmxTiles& tiles) {
  tiles.dot<Product, 0, 4, 6>();
  tiles.dot<Product, 1, 4, 7>();
  tiles.dot<Product, 2, 5, 6>();
  tiles.dot<Product, 3, 5, 7>();
}

}  // namespace

TileWork::TileWork(const CpuContext& context, ComputeType compute, uint64_t seed)
    : is_int8_(compute == ComputeType::kI8),
      rows_(allocate(kRows * kRowBytes)),
      results_(allocate(kRows * kResultBytes)),
      sums_(allocate(kRows * kColumns * 4)),
      scales_(kRows, 0.01f),
      zero_points_(kRows, 128) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  const int64_t features = is_int8_ ? kRowBytes : kRowBytes / 2;
  for (int64_t i = 0; i < kRows * features; ++i) {
    const float value = normal(random);
    if (is_int8_) {
      const float code = std::fmin(255.f, std::fmax(0.f, std::nearbyint(128 + 32 * value)));
      static_cast<uint8_t*>(rows_.data())[i] = static_cast<uint8_t>(code);
    } else {
      static_cast<uint16_t*>(rows_.data())[i] = float_to_bf16(value);
    }
  }
  std::vector<float> weights(static_cast<size_t>(kOutputs * features));
  for (int64_t i = 0; i < int64_t{1} << 16; ++i) weights[static_cast<size_t>(i)] = 0.05f * normal(random);
  for (size_t i = size_t{1} << 16; i < weights.size(); ++i) weights[i] = weights[i - (size_t{1} << 16) + 7];
  LinearSource source;
  source.parts = {{{weights.data(), DType::kF32, {kOutputs, features}}, {}}};
  source.compute = compute;
  auto packed = pack_linear_cpu(context, source);
  if (!packed.is_ok()) std::abort();
  weight_ = packed.take();
  kernel_ = &static_cast<const CpuLinearWeight&>(*weight_).kernel();
}

template <class Product>
void TileWork::multiply_registers(long rounds) {
  AmxTiles tiles;
  tiles.configure(all_tiles());
  const char* rows = static_cast<const char*>(rows_.data());
  const char* panel = static_cast<const CpuLinearWeight&>(*weight_).panel_bytes(0).data();
  tiles.load<4>(rows, kTileBytes);
  tiles.load<5>(rows + kTile, kTileBytes);
  tiles.load<6>(panel, kPanelStride);
  tiles.load<7>(panel + kTileBytes, kPanelStride);
  for (long round = 0; round < rounds; ++round) {
    for (int64_t row = 0; row < kRows; row += 2 * kTileRows) {
      zero_sums(tiles);
      for (int64_t step = 0; step < kTilesOfSteps; ++step) four_products<Product>(tiles);
    }
  }
  tiles.release();
}

/** Rows lie in tiles (gemm/row_layout.h); `row_step` bytes lead from 32 of them to the next ones. */
template <class Product>
void TileWork::multiply(long rounds, int64_t row_step, int64_t count, bool stores) {
  AmxTiles tiles;
  tiles.configure(all_tiles());
  const char* panel = static_cast<const CpuLinearWeight&>(*weight_).panel_bytes(0).data();
  char* const sums = static_cast<char*>(sums_.data());
  for (long round = 0; round < rounds; ++round) {
    const char* rows = static_cast<const char*>(rows_.data());
    for (int64_t row = 0; row < kRows; row += 2 * kTileRows, rows += row_step) {
      zero_sums(tiles);
      for (int64_t step = 0; step < kTilesOfSteps; ++step) {
        const char* a = rows + step % count * 2 * kTile;
        const char* b = panel + step % count * 2 * kTile;
        tiles.stream<4>(a, kTileBytes);
        tiles.load<6>(b, kPanelStride);
        tiles.load<7>(b + kTileBytes, kPanelStride);
        tiles.stream<5>(a + kTile, kTileBytes);
        four_products<Product>(tiles);
      }
      if (!stores) continue;
      char* to = sums + row / (2 * kTileRows) % 2 * 4 * kTile;
      tiles.store<0>(to, kPanelStride);
      tiles.store<1>(to + kTileBytes, kPanelStride);
      tiles.store<2>(to + 2 * kTile, kPanelStride);
      tiles.store<3>(to + 2 * kTile + kTileBytes, kPanelStride);
    }
  }
  tiles.release();
}

void TileWork::registers(long rounds) {
  is_int8_ ? multiply_registers<ByteQuadProduct>(rounds) : multiply_registers<PairProduct>(rounds);
}

void TileWork::operands_in_l1(long rounds) {
  is_int8_ ? multiply<ByteQuadProduct>(rounds, 0, kTilesOfSteps / 2, false)
           : multiply<PairProduct>(rounds, 0, kTilesOfSteps / 2, false);
}

void TileWork::rows_in_l2(long rounds, bool stores) {
  constexpr int64_t kStep = 2 * kTileRows * kRowBytes;
  is_int8_ ? multiply<ByteQuadProduct>(rounds, kStep, kTilesOfSteps, stores)
           : multiply<PairProduct>(rounds, kStep, kTilesOfSteps, stores);
}

void TileWork::panels(long rounds, Activation activation, int64_t distinct) {
  const auto& weight = static_cast<const CpuLinearWeight&>(*weight_);
  const int64_t panels = std::min(distinct, weight.layout().panels());
  for (long round = 0; round < rounds; ++round) {
    panel_ = (panel_ + 1) % panels;
    PanelTask task;
    weight.describe_panel(panel_, task);
    task.a = static_cast<const char*>(rows_.data());
    task.a_rows = {kRowBytes, true};
    if (is_int8_) {
      task.a_scale = scales_.data();
      task.a_zero_point = zero_points_.data();
    }
    task.rows = kRows;
    task.block_steps = task.steps;
    if (panels > 1) {
      const std::span<const char> next = weight.panel_bytes((panel_ + 1) % panels);
      task.next_panel = next.data();
      task.next_panel_bytes = static_cast<int64_t>(next.size());
    }
    task.activation = activation;
    task.bf16_rows = {kResultBytes, true};
    const int64_t column = round * kColumns % (kResultBytes / 2);
    task.bf16_out = static_cast<char*>(results_.data()) + task.bf16_rows.piece_offset(column * 2);
    task.accumulators = sums_.data();
    kernel_->multiply(task);
  }
}

}  // namespace padless::bench
