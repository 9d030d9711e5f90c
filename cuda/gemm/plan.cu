// Which tile shape, and how many parts of K: every legal configuration is scored by an estimate of its time.
#include <algorithm>

#include "cuda/checks.h"
#include "cuda/gemm/tiles.h"
#include "cuda/padless_cuda.h"

namespace padless::cuda {
namespace {

// Estimates in clock cycles of an SM; their ratios matter, not their values. To be measured.
constexpr double kMultipliesPerCycle = 1024;  // tensor core throughput of an SM
constexpr double kSharedBytesPerCycle = 128;  // ldmatrix reads
constexpr double kGlobalBytesPerCycle = 24;   // one SM's part of the L2 and DRAM bandwidth
constexpr double kTileOverhead = 2000;        // launch, first loads, epilogue
constexpr double kReduceLaunch = 4000;        // the second kernel of split-K

double estimate(const TileShape& tile, int64_t m, int64_t n, int64_t k, int splits,
                const DeviceProperties& device) {
  const double by_shared = static_cast<double>(device.shared_bytes_per_sm / (tile.shared_bytes() + 1024));
  const double resident = std::max(1.0, std::min<double>(tile.blocks_per_sm, by_shared));
  const double k_part = static_cast<double>(divide_up(divide_up(k, splits), tile.block_k) * tile.block_k);
  const double multiplies = static_cast<double>(tile.block_m) * tile.block_n * k_part;
  const double warp_m = static_cast<double>(tile.block_m) / tile.warps_m,
               warp_n = static_cast<double>(tile.block_n) / tile.warps_n;
  const double shared_bytes = multiplies * 2 * (1 / warp_m + 1 / warp_n);
  const double global_bytes = 2.0 * (tile.block_m + tile.block_n) * k_part;
  const double tile_cycles = std::max({multiplies / kMultipliesPerCycle, shared_bytes / kSharedBytesPerCycle,
                                       global_bytes / kGlobalBytesPerCycle});
  const auto tiles = static_cast<double>(divide_up(m, tile.block_m) * divide_up(n, tile.block_n) * splits);
  const double sms = std::max(1, device.sm_count);
  const double waves = std::ceil(tiles / (sms * resident)),
               per_wave = std::min(resident, std::ceil(tiles / sms));
  double cycles = waves * (tile_cycles * per_wave + kTileOverhead);
  if (splits > 1) {
    cycles += kReduceLaunch + 8.0 * splits * static_cast<double>(m * n) / (kGlobalBytesPerCycle * sms);
  }
  return cycles;
}

}  // namespace

GemmPlan plan_gemm(const LinearArgs& args, const DeviceProperties& device, const GemmPlanOptions& options) {
  const int64_t m = args.in.rows, n = args.weight.rows, k = args.in.cols;
  GemmPlan best;
  if (args.in.dtype == DType::kF32 || !has_aligned_rows(args.in) || !has_aligned_rows(args.weight) || k == 0)
    return best;
  double least = std::numeric_limits<double>::infinity();
  for (int tile = 0; tile < kTileShapeCount; tile++) {
    const TileShape& shape = kTileShapes[tile];
    if (shape.shared_bytes() > device.shared_bytes_per_block) continue;
    for (int splits : {1, 2, 3, 4, 6, 8, 12, 16}) {
      if (splits > 1 && (!options.split_k || divide_up(k, shape.block_k) < 2 * splits)) break;
      const double cycles = estimate(shape, m, n, k, splits, device);
      if (cycles < least) {
        least = cycles;
        best = {tile, splits};
      }
    }
  }
  return best;
}

int64_t glu_source_row(int64_t row, int64_t n) {
  const int64_t column = row / 16 * 8 + row % 8;
  if (column >= n) return -1;
  return row % 16 < 8 ? column : n + column;
}

}  // namespace padless::cuda
