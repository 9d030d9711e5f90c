// The launches of launch.h for one choice of types; included by the file that instantiates it.
#pragma once

#include <utility>

#include "cuda/gemm/arguments.h"
#include "cuda/gemm/sm90/launch.h"
#include "cuda/gemm/sm90/operand_map.h"
#include "cuda/gemm/sm90/persistent_gemm.cuh"
#include "cuda/gemm/sm90/swapped_gemm.cuh"

namespace padless::cuda {

template <class In, class T, int kShape>
Status enqueue_persistent_tile(const LinearArgs& args, int blocks, LaunchStream stream) {
  using E = EpilogueOf<In, T>;
  using Config = PersistentConfig<In, E, kShape>;
  ptx::TensorMap in, weight;
  PADLESS_RETURN_IF_ERROR(make_operand_map<In>(in, args.in, Config::kRows));
  PADLESS_RETURN_IF_ERROR(make_operand_map<In>(weight, args.weight, Config::kCols / Config::kRowBlocks));
  const int64_t tiles =
      divide_up(args.in.rows, Config::kRows * Config::kCluster) * divide_up(args.weight.rows, Config::kCols);
  PADLESS_RETURN_IF_ERROR(check_grid(tiles * Config::kCluster, "linear"));
  const int64_t wanted = blocks > 0 ? std::max(1, blocks / Config::kCluster) : tiles;
  return launch(persistent_gemm_kernel<In, E, kShape>,
                {.grid = grid_of(std::min(tiles, wanted) * Config::kCluster),
                 .block = kPersistentThreads,
                 .shared_bytes = sizeof(typename Config::Storage),
                 .stream = stream,
                 .cluster = {Config::kCluster, 1, 1}},
                in, weight,
                PersistentParams<E>{rows_of(args), static_cast<int>(args.weight.rows),
                                    static_cast<int>(args.in.cols), epilogue_of<E>(args)});
}

template <class In, class T, int... kShapes>
Status enqueue_persistent(const LinearArgs& args, const GemmPlan& plan, LaunchStream stream,
                          std::integer_sequence<int, kShapes...>) {
  using Enqueue = Status (*)(const LinearArgs&, int, LaunchStream);
  constexpr Enqueue kTable[] = {enqueue_persistent_tile<In, T, kShapes>...};
  return kTable[plan.tile](args, plan.blocks, stream);
}

template <class In, class T>
Status enqueue_persistent(const LinearArgs& args, const GemmPlan& plan, LaunchStream stream) {
  return enqueue_persistent<In, T>(args, plan, stream,
                                   std::make_integer_sequence<int, kPersistentTileCount>{});
}

template <class In, class T, int kShape>
Status enqueue_swapped_tile(const LinearArgs& args, int splits, float* partial, LaunchStream stream) {
  constexpr int kTokens = kSwappedTokens[kShape];
  using E = EpilogueOf<In, T>;
  using Storage = SwappedStorage<In, kTokens>;
  ptx::TensorMap in, weight;
  PADLESS_RETURN_IF_ERROR(make_operand_map<In>(in, args.in, kTokens));
  PADLESS_RETURN_IF_ERROR(make_operand_map<In>(weight, args.weight, kSwappedOutputs));
  const int64_t n = args.weight.rows, k = args.in.cols;
  const int64_t k_per_split = divide_up(divide_up(k, splits), Storage::kBlockK) * Storage::kBlockK;
  const int64_t token_tiles = divide_up(args.in.rows, kTokens);
  PADLESS_CHECK(token_tiles <= 65535, Code::kInvalidArgument, "plan", args.in.rows,
                " rows are too many for tiles of ", kTokens);
  return launch(
      swapped_gemm_kernel<In, E, kTokens>,
      {.grid = {grid_of(divide_up(n, kSwappedOutputs)), grid_of(token_tiles), static_cast<unsigned>(splits)},
       .block = kWarpgroup,
       .shared_bytes = sizeof(Storage),
       .stream = stream},
      in, weight,
      SwappedParams<E>{rows_of(args), static_cast<int>(n), static_cast<int>(k), static_cast<int>(k_per_split),
                       partial, epilogue_of<E>(args)});
}

template <class In, class T, int... kShapes>
Status enqueue_swapped(const LinearArgs& args, const GemmPlan& plan, float* partial, LaunchStream stream,
                       std::integer_sequence<int, kShapes...>) {
  using Enqueue = Status (*)(const LinearArgs&, int, float*, LaunchStream);
  constexpr Enqueue kTable[] = {enqueue_swapped_tile<In, T, kShapes>...};
  return kTable[plan.tile](args, plan.splits, partial, stream);
}

template <class In, class T>
Status enqueue_swapped(const LinearArgs& args, const GemmPlan& plan, float* partial, LaunchStream stream) {
  return enqueue_swapped<In, T>(args, plan, partial, stream,
                                std::make_integer_sequence<int, kSwappedTileCount>{});
}

}  // namespace padless::cuda
