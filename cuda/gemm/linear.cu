// linear(): checks, the choice of kernel by the plan, and the reduction of split-K.
#include <utility>

#include "cuda/checks.h"
#include "cuda/gemm/arguments.h"
#include "cuda/gemm/simt_gemm.cuh"
#include "cuda/gemm/sm90/launch.h"
#include "cuda/gemm/sm90/tiles.h"
#include "cuda/gemm/tensor_gemm.cuh"
#include "cuda/gemm/tiles.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {
namespace {

template <class E>
struct ReduceParams {
  const float* partial;  // [splits, rows.capacity, n]
  int splits;
  RowCount rows;
  int n;
  E epilogue;
};

constexpr int kReduceThreads = 256;

// Adds the partial products in the order of the splits, a vector of the output a thread, and finishes them.
template <class E>
__global__ void __launch_bounds__(kReduceThreads) reduce_splits_kernel(const ReduceParams<E> p) {
  wait_for_stream();
  const int width = p.epilogue.glu ? 2 * kVectorElements : kVectorElements;
  const int per_row = (p.n + width - 1) / width;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kReduceThreads + threadIdx.x,
                row = index / per_row;
  const int col = static_cast<int>(index % per_row) * width;
  if (row >= p.rows.get()) return;
  float product[kVectorElements] = {}, up[kVectorElements] = {};
  for (int split = 0; split < p.splits; split++) {
    const float* source = p.partial + (static_cast<int64_t>(split) * p.rows.capacity + row) * p.n + col;
    const auto add = [&](float(&sum)[kVectorElements], const float* from, int left) {
      float values[kVectorElements];
      load_vector(values, from, left, p.n % kVectorElements == 0);
      UNROLL
      for (int i = 0; i < kVectorElements; i++) sum[i] += values[i];
    };
    add(product, source, p.n - col);
    if (p.epilogue.glu) add(up, source + kVectorElements, p.n - col - kVectorElements);
  }
  finish(product, up, p.epilogue, row, col, p.n);
}

template <class T, int kShape>
Status enqueue_tile(const LinearArgs& args, int splits, float* partial, LaunchStream stream) {
  constexpr TileShape shape = kTileShapes[kShape];
  using Tile =
      GemmTile<shape.block_m, shape.block_n, shape.block_k, shape.stages, shape.warps_m, shape.warps_n>;
  static_assert(sizeof(GemmStorage<T, Tile>) == shape.shared_bytes());
  const int64_t n = args.weight.rows, k = args.in.cols;
  const int64_t k_per_split = divide_up(divide_up(k, splits), shape.block_k) * shape.block_k;
  const GemmParams<T> params{elements<const T>(args.in),
                             elements<const T>(args.weight),
                             args.in.stride,
                             args.weight.stride,
                             rows_of(args),
                             static_cast<int>(n),
                             static_cast<int>(k),
                             static_cast<int>(k_per_split),
                             partial,
                             epilogue_of<Epilogue<T>>(args)};
  const int64_t tiles = divide_up(args.in.rows, shape.block_m) * divide_up(n, shape.block_n);
  return launch(tensor_gemm_kernel<T, Tile>,
                {.grid = {grid_of(tiles), static_cast<unsigned>(splits)},
                 .block = shape.threads(),
                 .shared_bytes = shape.shared_bytes(),
                 .stream = stream},
                params);
}

template <class T, int... kShapes>
Status enqueue_tensor(const LinearArgs& args, const GemmPlan& plan, float* partial, LaunchStream stream,
                      std::integer_sequence<int, kShapes...>) {
  using Enqueue = Status (*)(const LinearArgs&, int, float*, LaunchStream);
  constexpr Enqueue kTable[] = {enqueue_tile<T, kShapes>...};
  return kTable[plan.tile](args, plan.splits, partial, stream);
}

template <class E>
Status enqueue_reduction(const LinearArgs& args, int splits, const float* partial, LaunchStream stream) {
  if (splits == 1) return Status::ok();
  const int64_t width = args.glu ? 2 * kVectorElements : kVectorElements;
  const ReduceParams<E> params{partial, splits, rows_of(args), static_cast<int>(args.weight.rows),
                               epilogue_of<E>(args)};
  const int64_t vectors = args.in.rows * divide_up(args.weight.rows, width);
  return launch(
      reduce_splits_kernel<E>,
      {.grid = grid_of(divide_up(vectors, kReduceThreads)), .block = kReduceThreads, .stream = stream},
      params);
}

template <class In, class T>
Status enqueue_sm90(const LinearArgs& args, const GemmPlan& plan, float* partial, LaunchStream stream) {
  if (plan.kernel == GemmKernel::kPersistent) return enqueue_persistent<In, T>(args, plan, stream);
  PADLESS_RETURN_IF_ERROR((enqueue_swapped<In, T>(args, plan, partial, stream)));
  return enqueue_reduction<EpilogueOf<In, T>>(args, plan.splits, partial, stream);
}

template <class T>
Status enqueue_simt(const LinearArgs& args, LaunchStream stream) {
  const SimtGemmParams<T> params{elements<const T>(args.in),
                                 elements<const T>(args.weight),
                                 args.in.stride,
                                 args.weight.stride,
                                 rows_of(args),
                                 static_cast<int>(args.weight.rows),
                                 static_cast<int>(args.in.cols),
                                 epilogue_of<Epilogue<T>>(args)};
  return launch(simt_gemm_kernel<T>,
                {.grid = {grid_of(divide_up(args.in.rows, kSimtBlock)),
                          grid_of(divide_up(args.weight.rows, kSimtBlock))},
                 .block = kSimtThreads,
                 .shared_bytes = sizeof(SimtGemmStorage),
                 .stream = stream},
                params);
}

int tile_count(GemmKernel kernel) {
  switch (kernel) {
    case GemmKernel::kPersistent:
      return kPersistentTileCount;
    case GemmKernel::kSwapped:
      return kSwappedTileCount;
    case GemmKernel::kPortable:
      break;
  }
  return kTileShapeCount;
}

Status check_dtypes(const LinearArgs& args) {
  const bool scaled = args.in.dtype == DType::kE4M3;
  PADLESS_CHECK(is_storage(args.in.dtype) || scaled, Code::kUnsupported, "in", "a linear layer in ",
                dtype_name(args.in.dtype), "; supported: bf16, f16, f32, e4m3");
  PADLESS_RETURN_IF_ERROR(check_dtype(args.weight, args.in.dtype, "weight"));
  const DType result = result_dtype(args);
  PADLESS_CHECK(!scaled || result == DType::kBF16 || result == DType::kF16, Code::kUnsupported,
                args.residual.data != nullptr ? "residual" : "out", "a product of e4m3 beside ",
                dtype_name(result), "; supported: bf16 and f16, or a result in f32");
  if (args.out.dtype != DType::kF32) PADLESS_RETURN_IF_ERROR(check_dtype(args.out, result, "out"));
  if (args.residual.data != nullptr) PADLESS_RETURN_IF_ERROR(check_dtype(args.residual, result, "residual"));
  PADLESS_CHECK((args.in_scales != nullptr) == scaled && (args.weight_scales != nullptr) == scaled,
                Code::kInvalidArgument, "scales", "operands of e4m3 have scales, and no others have");
  return Status::ok();
}

Status check(const LinearArgs& args, const GemmPlan& plan, const void* workspace) {
  const int64_t m = args.in.rows, k = args.in.cols, n = args.weight.rows, out_cols = args.out.cols;
  PADLESS_RETURN_IF_ERROR(check_matrix(args.in, m, k, "in"));
  PADLESS_RETURN_IF_ERROR(
      check_matrix(args.weight, args.glu ? divide_up(out_cols, 8) * 16 : out_cols, k, "weight"));
  PADLESS_RETURN_IF_ERROR(check_matrix(args.out, m, out_cols, "out"));
  PADLESS_RETURN_IF_ERROR(check_dtypes(args));
  PADLESS_CHECK(!args.residual_first || (args.residual.data != nullptr && !args.glu), Code::kInvalidArgument,
                "residual", "a residual before the activation needs a residual, and a weight that is no GLU");
  if (args.residual.data != nullptr)
    PADLESS_RETURN_IF_ERROR(check_matrix(args.residual, m, out_cols, "residual"));
  const int tiles = tile_count(plan.kernel);
  PADLESS_CHECK(
      (plan.tile < tiles && plan.tile >= 0) || (plan.kernel == GemmKernel::kPortable && plan.tile == -1),
      Code::kInvalidArgument, "plan", "tile ", plan.tile, " is not one of the kernel's ", tiles);
  PADLESS_CHECK(plan.splits >= 1 && plan.splits <= 65535 && plan.blocks >= 0, Code::kInvalidArgument, "plan",
                plan.splits, " splits on ", plan.blocks, " blocks are no plan");
  PADLESS_CHECK(args.in.dtype != DType::kE4M3 || plan.kernel != GemmKernel::kPortable, Code::kUnsupported,
                "in",
                "products of e4m3 need compute capability 9.0, K above 0, and 16-byte aligned rows of both "
                "operands");
  if (plan.tile < 0) {
    PADLESS_CHECK(plan.splits == 1 && n <= int64_t{65535} * kSimtBlock, Code::kInvalidArgument, "plan",
                  "the general kernel does not split K, and takes at most ", 65535 * kSimtBlock, " outputs");
    return Status::ok();
  }
  PADLESS_CHECK(args.in.dtype != DType::kF32 && has_aligned_rows(args.in) && has_aligned_rows(args.weight),
                Code::kInvalidArgument, "plan", "tile ", plan.tile,
                " needs operands of 16 or 8 bits with 16-byte aligned rows");
  if (plan.kernel == GemmKernel::kPersistent) {
    PADLESS_CHECK(
        plan.splits == 1 && has_fragment_activation(args.activation) && !args.residual_first && k > 0,
        Code::kInvalidArgument, "plan",
        "the persistent kernel has no split-K, tanh, sigmoid, residual before the activation or empty sums");
  }
  PADLESS_CHECK(plan.splits == 1 || (workspace != nullptr && is_aligned_16(workspace)),
                Code::kInvalidArgument, "workspace",
                "split-K needs a 16-byte aligned workspace of linear_workspace_bytes()");
  return Status::ok();
}

}  // namespace

size_t linear_workspace_bytes(const LinearArgs& args, const GemmPlan& plan) {
  if (plan.splits <= 1) return 0;
  return sizeof(float) * static_cast<size_t>(plan.splits) *
         static_cast<size_t>(args.in.rows * args.weight.rows);
}

Status linear(const LinearArgs& args, const GemmPlan& plan, void* workspace, LaunchStream stream) {
  PADLESS_RETURN_IF_ERROR(check(args, plan, workspace));
  if (args.in.rows == 0 || args.weight.rows == 0) return Status::ok();
  auto* partial = plan.splits > 1 ? static_cast<float*>(workspace) : nullptr;
  return with_storage(result_dtype(args), [&]<class T>() -> Status {
    if constexpr (sizeof(T) == 2) {
      if (args.in.dtype == DType::kE4M3) return enqueue_sm90<e4m3, T>(args, plan, partial, stream);
      if (plan.kernel != GemmKernel::kPortable) return enqueue_sm90<T, T>(args, plan, partial, stream);
    }
    if (plan.tile < 0) return enqueue_simt<T>(args, stream);
    if constexpr (sizeof(T) == 2) {
      PADLESS_RETURN_IF_ERROR(
          enqueue_tensor<T>(args, plan, partial, stream, std::make_integer_sequence<int, kTileShapeCount>{}));
      return enqueue_reduction<Epilogue<T>>(args, plan.splits, partial, stream);
    } else {
      return {Code::kInternal, "a tensor core plan for f32"};
    }
  });
}

}  // namespace padless::cuda
