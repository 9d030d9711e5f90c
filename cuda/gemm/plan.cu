// Which kernel, which tile shape, and how many parts of K: every legal configuration is scored by an estimate
// of its time.
#include <algorithm>

#include "cuda/checks.h"
#include "cuda/gemm/sm90/norm_launch.h"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/gemm/tiles.h"
#include "cuda/padless_linear_norm.h"

namespace padless::cuda {
namespace {

// Estimates in clock cycles of an SM; their ratios matter, not their values. To be measured.
constexpr double kMultipliesPerCycle = 1024;         // tensor core throughput of an SM by mma.sync
constexpr double kWgmmaOperandBytesPerCycle = 4096;  // and by wgmma, times the bytes of an element
constexpr double kSharedBytesPerCycle = 128;         // ldmatrix reads
constexpr double kGlobalBytesPerCycle = 24;          // one SM's part of the L2 and DRAM bandwidth
constexpr double kTileOverhead = 2000;               // launch, first loads, epilogue
constexpr double kPersistentOverhead = 1500;         // once a block: launch, first loads
constexpr double kEpilogueElementsPerCycle = 10;     // of a block: 128 lanes, a dozen instructions an element
constexpr double kHiddenByLag = 0.6;                 // of the epilogue where both warpgroups share a tile
constexpr double kSecondLaunch = 4000;               // the reduction of split-K, or a norm
constexpr double kNormEpilogues = 2;                 // what an epilogue with a norm costs, in those without
constexpr double kExchange = 1000;                   // between the blocks of a cluster, once a tile
constexpr double kMemoryBytesPerCycle = 13;          // one SM's part of the DRAM bandwidth
constexpr double kNearBytes = 24e6;                  // of a matrix that is still in L2 when it is read again
constexpr double kWorthFusing = 0.9;                 // of the time of two kernels: the constants are guesses
constexpr int64_t kStageBytes = 128;                 // of K, of the sm_90a kernels

struct Problem {
  int64_t m, n, k;
  double sms;
  int64_t element_bytes;  // of an operand

  int64_t stage_k() const { return kStageBytes / element_bytes; }
  double wgmma_multiplies_per_cycle() const {
    return kWgmmaOperandBytesPerCycle / static_cast<double>(element_bytes);
  }
};

double reduction(const Problem& p, int splits) {
  if (splits == 1) return 0;
  return kSecondLaunch + 8.0 * splits * static_cast<double>(p.m * p.n) / (kGlobalBytesPerCycle * p.sms);
}

double estimate(const TileShape& tile, const Problem& p, int splits, const DeviceProperties& device) {
  const double by_shared = static_cast<double>(device.shared_bytes_per_sm / (tile.shared_bytes() + 1024));
  const double resident = std::max(1.0, std::min<double>(tile.blocks_per_sm, by_shared));
  const double k_part = static_cast<double>(divide_up(divide_up(p.k, splits), tile.block_k) * tile.block_k);
  const double multiplies = static_cast<double>(tile.block_m) * tile.block_n * k_part;
  const double warp_m = static_cast<double>(tile.block_m) / tile.warps_m,
               warp_n = static_cast<double>(tile.block_n) / tile.warps_n;
  const double shared_bytes = multiplies * 2 * (1 / warp_m + 1 / warp_n);
  const double global_bytes = 2.0 * (tile.block_m + tile.block_n) * k_part;
  const double tile_cycles = std::max({multiplies / kMultipliesPerCycle, shared_bytes / kSharedBytesPerCycle,
                                       global_bytes / kGlobalBytesPerCycle});
  const auto tiles =
      static_cast<double>(divide_up(p.m, tile.block_m) * divide_up(p.n, tile.block_n) * splits);
  const double waves = std::ceil(tiles / (p.sms * resident)),
               per_wave = std::min(resident, std::ceil(tiles / p.sms));
  return waves * (tile_cycles * per_wave + kTileOverhead) + reduction(p, splits);
}

// Clusters lie within a GPC, which has 16 SMs on a Hopper GPU, or two more that hold no cluster above two.
double resident_clusters(double sms, int cluster) {
  constexpr double kGpcSms = 16;
  const bool fills_gpcs = cluster > 2 && sms >= kGpcSms;
  return std::max(1.0, fills_gpcs ? std::floor(sms / kGpcSms) * std::floor(kGpcSms / cluster)
                                  : std::floor(sms / cluster));
}

double estimate(const PersistentTile& tile, const Problem& p, double epilogues = 1, double exchange = 0) {
  const double k = static_cast<double>(divide_up(p.k, p.stage_k()) * p.stage_k());
  const double multiply = static_cast<double>(tile.rows) * tile.cols * k / p.wgmma_multiplies_per_cycle();
  const double load = static_cast<double>(p.element_bytes) *
                      (static_cast<double>(tile.rows) / tile.column_blocks +
                       static_cast<double>(tile.cols) / tile.row_blocks) *
                      k / kGlobalBytesPerCycle;
  const double main = std::max(multiply, load);
  const double epilogue =
      epilogues * static_cast<double>(tile.rows) * tile.cols / kEpilogueElementsPerCycle + exchange;
  const auto tiles = static_cast<double>(divide_up(p.m, tile.rows * tile.row_blocks) *
                                         divide_up(p.n, tile.cols * tile.column_blocks));
  const double rounds = std::ceil(tiles / resident_clusters(p.sms, tile.cluster()));
  if (tile.alternate) return rounds * std::max(main, epilogue) + epilogue + kPersistentOverhead;
  return rounds * (main + (1 - kHiddenByLag) * epilogue) + kHiddenByLag * epilogue + kPersistentOverhead;
}

double estimate_swapped(int tokens, const Problem& p, int splits, const DeviceProperties& device) {
  const int64_t stage_bytes = kStageBytes * (kSwappedOutputs + tokens);
  const double resident = std::max(1.0, static_cast<double>(static_cast<int64_t>(device.shared_bytes_per_sm) /
                                                            (kSwappedStages * stage_bytes + 1024)));
  const double steps = static_cast<double>(divide_up(divide_up(p.k, splits), p.stage_k()));
  const double tile_cycles = std::max(
      steps * static_cast<double>(stage_bytes) / kGlobalBytesPerCycle,
      steps * static_cast<double>(p.stage_k()) * kSwappedOutputs * tokens / p.wgmma_multiplies_per_cycle());
  const auto tiles = static_cast<double>(divide_up(p.m, tokens) * divide_up(p.n, kSwappedOutputs) * splits);
  const double waves = std::ceil(tiles / (p.sms * resident)),
               per_wave = std::min(resident, std::ceil(tiles / p.sms));
  return waves * (tile_cycles * per_wave + kTileOverhead) + reduction(p, splits);
}

// visit(splits) for every legal number of parts of k, which are at least two steps each
template <class Visit>
void for_each_split(const Problem& p, int64_t step, const GemmPlanOptions& options, Visit visit) {
  for (int splits : {1, 2, 3, 4, 6, 8, 12, 16}) {
    if (splits > 1 && (!options.split_k || divide_up(p.k, step) < 2 * splits)) break;
    visit(splits);
  }
}

// All of them sum over k in the same order: without split-K a row's bits do not depend on which is taken.
template <class Visit>
void for_each_sm90_plan(const Problem& p, bool fits_persistent, const DeviceProperties& device,
                        const GemmPlanOptions& options, Visit visit) {
  constexpr int64_t kMostSwappedRows = 256;  // beyond, a row of the persistent kernel's tiles costs less
  for (int tile = 0; tile < kPersistentTileCount && fits_persistent; tile++) {
    visit(GemmPlan{tile, 1, GemmKernel::kPersistent, device.sm_count},
          estimate(persistent_tile(p.element_bytes == 1, tile), p));
  }
  const bool swaps = p.m <= kMostSwappedRows || !fits_persistent;
  for (int tile = 0; tile < kSwappedTileCount && swaps; tile++) {
    for_each_split(p, p.stage_k(), options, [&](int splits) {
      visit(GemmPlan{tile, splits, GemmKernel::kSwapped},
            estimate_swapped(kSwappedTokens[tile], p, splits, device));
    });
  }
}

Problem problem_of(const LinearArgs& args, const DeviceProperties& device) {
  return {args.in.rows, args.weight.rows, args.in.cols, static_cast<double>(std::max(1, device.sm_count)),
          static_cast<int64_t>(dtype_size(args.in.dtype))};
}

// visit(plan, cycles) for every legal configuration on tensor cores
template <class Visit>
void for_each_plan(const LinearArgs& args, const DeviceProperties& device, const GemmPlanOptions& options,
                   Visit visit) {
  const Problem p = problem_of(args, device);
  if (args.in.dtype == DType::kF32 || !has_aligned_rows(args.in) || !has_aligned_rows(args.weight) ||
      p.k == 0)
    return;
  const bool fits_persistent = has_fragment_activation(args.activation) && !args.residual_first;
  const bool only_sm90 = args.in.dtype == DType::kE4M3;
  if (device.runs_sm90a() && (fits_persistent || only_sm90))
    return for_each_sm90_plan(p, fits_persistent, device, options, visit);
  if (only_sm90) return;
  for (int tile = 0; tile < kTileShapeCount; tile++) {
    const TileShape& shape = kTileShapes[tile];
    if (shape.shared_bytes() > device.shared_bytes_per_block) continue;
    for_each_split(p, shape.block_k, options, [&](int splits) {
      visit(GemmPlan{tile, splits}, estimate(shape, p, splits, device));
    });
  }
}

RatedGemmPlan choose(const LinearArgs& args, const DeviceProperties& device, const GemmPlanOptions& options) {
  RatedGemmPlan best{{}, std::numeric_limits<double>::infinity()};
  for_each_plan(args, device, options, [&](const GemmPlan& plan, double cycles) {
    if (cycles < best.cycles) best = {plan, cycles};
  });
  return best;
}

// Of residual_norm() over a product: a launch, and its rows read and written again.
double norm_traffic(const Problem& p) {
  const double bytes = 2.0 * static_cast<double>(p.m * p.n);
  const double rate = bytes <= kNearBytes ? kGlobalBytesPerCycle : kMemoryBytesPerCycle;
  return bytes / (rate * p.sms);
}

}  // namespace

GemmPlan plan_gemm(const LinearArgs& args, const DeviceProperties& device, const GemmPlanOptions& options) {
  return choose(args, device, options).plan;
}

std::vector<RatedGemmPlan> gemm_plans(const LinearArgs& args, const DeviceProperties& device,
                                      const GemmPlanOptions& options) {
  std::vector<RatedGemmPlan> plans;
  for_each_plan(args, device, options, [&](const GemmPlan& plan, double cycles) {
    plans.push_back({plan, cycles});
  });
  return plans;
}

LinearNormPlan plan_linear_norm(const LinearNormArgs& args, const DeviceProperties& device,
                                const GemmPlanOptions& options, NormFusion fusion) {
  LinearArgs product;
  product.in = args.in;
  product.weight = args.weight;
  product.residual = args.residual;
  product.out = args.sum.data != nullptr ? args.sum : args.out;
  const Problem p = problem_of(product, device);
  // How many rows there are must not choose the bits, where they are to be those of every batch.
  if (fusion == NormFusion::kNever || (fusion == NormFusion::kAuto && !options.split_k)) return {};
  if (!device.runs_sm90a() || !takes_norm_kernel(args)) return {};
  LinearNormPlan best;
  double least = std::numeric_limits<double>::infinity();
  int columns = 0;  // of a cluster: they depend on N alone, because a row's bits depend on them
  for (int tile = 0; tile < kNormTileCount; tile++) {
    const PersistentTile& shape = kNormTiles[tile];
    if (norm_tile_columns(shape) < p.n || (columns != 0 && norm_tile_columns(shape) != columns)) continue;
    columns = norm_tile_columns(shape);
    const double cycles = estimate(shape, p, kNormEpilogues, kExchange);
    if (cycles >= least) continue;
    least = cycles;
    best = {tile, static_cast<int>(resident_clusters(p.sms, shape.cluster())) * shape.cluster()};
  }
  if (fusion == NormFusion::kAlways) return best;
  if (args.sum.data != nullptr) least += norm_traffic(p);
  const double apart = choose(product, device, options).cycles + kSecondLaunch + 2 * norm_traffic(p);
  return least < kWorthFusing * apart ? best : LinearNormPlan{};
}

int64_t glu_source_row(int64_t row, int64_t n) {
  const int64_t column = row / 16 * 8 + row % 8;
  if (column >= n) return -1;
  return row % 16 < 8 ? column : n + column;
}

}  // namespace padless::cuda
