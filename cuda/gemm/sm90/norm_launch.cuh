// The launch of norm_launch.h for one type; included by the file that instantiates it.
#pragma once

#include <utility>

#include "cuda/gemm/sm90/norm_gemm.cuh"
#include "cuda/gemm/sm90/norm_launch.h"
#include "cuda/gemm/sm90/operand_map.h"

namespace padless::cuda {

template <class T>
NormEpilogue<T> norm_epilogue_of(const LinearNormArgs& args) {
  return {args.bias,
          elements<const T>(args.residual),
          elements<T>(args.out),
          elements<T>(args.sum),
          args.residual.stride,
          args.out.stride,
          args.sum.stride,
          static_cast<int>(args.out.cols),
          {args.kind, args.gamma, args.beta, args.eps, true}};
}

template <class T, int kShape>
Status enqueue_norm_tile(const LinearNormArgs& args, int blocks, LaunchStream stream) {
  using Config = NormConfig<T, kShape>;
  ptx::TensorMap in, weight;
  PADLESS_RETURN_IF_ERROR(make_operand_map<T>(in, args.in, Config::kRows / Config::kColumnBlocks));
  PADLESS_RETURN_IF_ERROR(make_operand_map<T>(weight, args.weight, Config::kCols / Config::kRowBlocks));
  const int64_t tiles = divide_up(args.in.rows, Config::Tiles::kRows);
  PADLESS_RETURN_IF_ERROR(check_grid(tiles * Config::kCluster, "linear_norm"));
  const int64_t wanted = blocks > 0 ? std::max(1, blocks / Config::kCluster) : tiles;
  return launch(norm_gemm_kernel<T, kShape>,
                {.grid = grid_of(std::min(tiles, wanted) * Config::kCluster),
                 .block = kPersistentThreads,
                 .shared_bytes = sizeof(typename Config::Storage),
                 .stream = stream,
                 .cluster = {Config::kCluster, 1, 1}},
                in, weight,
                NormGemmParams<T>{{static_cast<int32_t>(args.in.rows), args.rows_on_device},
                                  static_cast<int>(args.in.cols),
                                  norm_epilogue_of<T>(args)});
}

template <class T, int... kShapes>
Status enqueue_norm_tile(const LinearNormArgs& args, const LinearNormPlan& plan, LaunchStream stream,
                         std::integer_sequence<int, kShapes...>) {
  using Enqueue = Status (*)(const LinearNormArgs&, int, LaunchStream);
  constexpr Enqueue kTable[] = {enqueue_norm_tile<T, kShapes>...};
  return kTable[plan.tile](args, plan.blocks, stream);
}

template <class T>
Status enqueue_linear_norm(const LinearNormArgs& args, const LinearNormPlan& plan, LaunchStream stream) {
  return enqueue_norm_tile<T>(args, plan, stream, std::make_integer_sequence<int, kNormTileCount>{});
}

}  // namespace padless::cuda
