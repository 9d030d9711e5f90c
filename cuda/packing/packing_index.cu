// A [B, S] mask becomes cu_seqlens, token_index, positions and packed_row by a prefix sum over its B * S
// elements.
//
// Three launches: tokens of each tile of kTile elements; an exclusive prefix sum over those counts, by one
// block that carries a running total; and the placement, in which every tile counts again and adds its
// offset. The mask is read twice and each output written once. A single pass with look-back would save one
// read of the mask, the smallest array of the encoder, and needs blocks that wait for each other.
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/tile/block_scan.cuh"
#include "cuda/tile/stream_order.cuh"

namespace padless::cuda {
namespace {

constexpr int kThreads = 256, kPerThread = 8, kTile = kThreads * kPerThread;

template <class M>
struct Params {
  const M* mask;     // [elements]
  int64_t elements;  // B * S
  int32_t batch, length;
  int32_t* tile_offset;  // [tiles]: first counts, then their exclusive sums
  int32_t tiles;
  int32_t* cu_seqlens;   // [B + 1]
  int32_t* token_index;  // [elements]
  int32_t* positions;    // [elements], or null
  int32_t* packed_row;   // [elements], or null
};

using Storage = BlockScanStorage<kThreads>;

// Bit i: element first + i of the mask is a token.
template <class M>
DEVICE unsigned token_bits(const Params<M>& p, int64_t first) {
  unsigned bits = 0;
  UNROLL
  for (int i = 0; i < kPerThread; i++) {
    if (first + i < p.elements && p.mask[first + i] != M{0}) bits |= 1u << i;
  }
  return bits;
}

DEVICE int64_t first_element() {
  return static_cast<int64_t>(blockIdx.x) * kTile + static_cast<int64_t>(threadIdx.x) * kPerThread;
}

template <class M>
__global__ void __launch_bounds__(kThreads) count_tokens_kernel(const Params<M> p) {
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  const BlockScan scan = block_exclusive_scan<kThreads>(__popc(token_bits(p, first_element())), shared);
  if (threadIdx.x == 0) p.tile_offset[blockIdx.x] = scan.total;
}

template <class M>
__global__ void __launch_bounds__(kThreads) scan_tiles_kernel(const Params<M> p) {
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  int carry = 0;
  for (int first = 0; first < p.tiles; first += kThreads) {
    const int tile = first + static_cast<int>(threadIdx.x);
    const int count = tile < p.tiles ? p.tile_offset[tile] : 0;
    const BlockScan scan = block_exclusive_scan<kThreads>(count, shared);
    if (tile < p.tiles) p.tile_offset[tile] = carry + scan.exclusive;
    carry += scan.total;
    __syncthreads();  // the scan's storage is free again
  }
  if (threadIdx.x == 0) p.cu_seqlens[p.batch] = carry;
  if (p.length == 0) {
    for (int b = static_cast<int>(threadIdx.x); b < p.batch; b += kThreads) p.cu_seqlens[b] = 0;
  }
}

template <class M>
__global__ void __launch_bounds__(kThreads) place_tokens_kernel(const Params<M> p) {
  SHARED_STORAGE(Storage, shared);
  wait_for_stream();
  const int64_t first = first_element();
  const unsigned bits = token_bits(p, first);
  int32_t next = p.tile_offset[blockIdx.x] + block_exclusive_scan<kThreads>(__popc(bits), shared).exclusive;
  for (int i = 0; i < kPerThread && first + i < p.elements; i++) {
    const auto element = static_cast<int32_t>(first + i);
    const int32_t position = element % p.length;
    const bool token = (bits >> i & 1) != 0;
    if (position == 0) p.cu_seqlens[element / p.length] = next;
    if (p.packed_row != nullptr) p.packed_row[element] = token ? next : -1;
    if (!token) continue;
    p.token_index[next] = element;
    if (p.positions != nullptr) p.positions[next] = position;
    next++;
  }
}

template <class M>
Status enqueue(const PackingIndexArgs& args, LaunchStream stream) {
  const int64_t count = args.batch * args.length, tiles = divide_up(count, kTile);
  const Params<M> params{static_cast<const M*>(args.mask),
                         count,
                         static_cast<int32_t>(args.batch),
                         static_cast<int32_t>(args.length),
                         args.workspace,
                         static_cast<int32_t>(tiles),
                         args.cu_seqlens,
                         args.token_index,
                         args.positions,
                         args.packed_row};
  const LaunchConfig whole{
      .grid = grid_of(tiles), .block = kThreads, .shared_bytes = sizeof(Storage), .stream = stream};
  LaunchConfig single = whole;
  single.grid = 1;
  if (tiles > 0) PADLESS_RETURN_IF_ERROR(launch(count_tokens_kernel<M>, whole, params));
  PADLESS_RETURN_IF_ERROR(launch(scan_tiles_kernel<M>, single, params));
  return tiles > 0 ? launch(place_tokens_kernel<M>, whole, params) : Status::ok();
}

}  // namespace

size_t packing_index_workspace_bytes(int64_t batch, int64_t length) {
  return static_cast<size_t>(divide_up(batch * length, kTile)) * sizeof(int32_t);
}

Status packing_index(const PackingIndexArgs& args, LaunchStream stream) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  PADLESS_CHECK(args.batch >= 0 && args.length >= 0 && args.batch <= kMax && args.length <= kMax &&
                    args.batch * args.length <= kMax,
                Code::kInvalidArgument, "mask", "a mask of [", args.batch, ", ", args.length,
                "]: at most 2^31 - 1 elements");
  PADLESS_CHECK(args.cu_seqlens != nullptr, Code::kInvalidArgument, "cu_seqlens", "cu_seqlens are missing");
  PADLESS_CHECK(args.batch * args.length == 0 ||
                    (args.mask != nullptr && args.token_index != nullptr && args.workspace != nullptr),
                Code::kInvalidArgument, "mask", "the mask, token_index or workspace is missing");
  switch (args.mask_dtype) {
    case DType::kU8:
    case DType::kI8:
      return enqueue<uint8_t>(args, stream);
    case DType::kI32:
      return enqueue<int32_t>(args, stream);
    case DType::kI64:
      return enqueue<int64_t>(args, stream);
    case DType::kF32:
      return enqueue<float>(args, stream);
    default:
      return {Code::kUnsupported,
              concat("a mask of ", dtype_name(args.mask_dtype), "; supported: u8, i8, i32, i64, f32"),
              "mask"};
  }
}

}  // namespace padless::cuda
