// How TMA sees q, k and v: three dimensions that make it write zeros in place of rows past a sequence.
//
// Dimensions are (column, i, j): element (column, i, j) lies in row i + j - 64 of the matrix, and i ends at
// 64, the rows of a box. A box that begins at i = 64 - n therefore has n rows of the matrix, the others are
// out of bounds and come as zeros: n is what the sequence has left, whatever follows it in memory.
#pragma once

#include <algorithm>
#include <array>

#include "cuda/checks.h"
#include "cuda/padless_cuda.h"
#include "cuda/ptx/tensor_map.cuh"

namespace padless::cuda::sm90 {

constexpr int kBoxRows = 64;  // of one copy

// Tiles are cut into panels as wide as the swizzle's span: see tile.cuh.
constexpr int panel_columns(int head_dim) { return head_dim % 64 == 0 ? 64 : 32; }
constexpr ptx::Swizzle panel_swizzle(int head_dim) {
  return head_dim % 64 == 0 ? ptx::Swizzle::b128 : ptx::Swizzle::b64;
}

struct AttentionMaps {
  ptx::TensorMap q, k, v;
};

/** Bytes from a row to the next; that of a single row is free. */
inline uint64_t row_bytes(const Matrix& matrix) {
  const int64_t stride = matrix.rows == 1 ? matrix.cols : matrix.stride;
  return static_cast<uint64_t>(stride) * dtype_size(matrix.dtype);
}

/** Address of row -64: no element of it is in bounds of a box that load_tile() asks for. */
inline uintptr_t map_base(const Matrix& matrix) {
  return reinterpret_cast<uintptr_t>(matrix.data) - kBoxRows * row_bytes(matrix);
}

/** Whether rows are close enough together for a map. */
inline bool can_map(const VarlenAttentionArgs& args) {
  constexpr uint64_t kStrideEnd = 1ull << 40;
  return std::ranges::all_of(std::array{&args.q, &args.k, &args.v}, [](const Matrix* matrix) {
    return row_bytes(*matrix) < kStrideEnd &&
           kBoxRows * row_bytes(*matrix) < reinterpret_cast<uintptr_t>(matrix->data);
  });
}

template <class T>
Status make_map(ptx::TensorMap& map, const Matrix& matrix, int head_dim) {
  ptx::TensorMapShape shape{};
  shape.rank = 3;
  shape.extent[0] = static_cast<uint64_t>(matrix.cols);
  shape.extent[1] = kBoxRows;
  shape.extent[2] = static_cast<uint64_t>(matrix.rows) + kBoxRows;
  shape.stride_bytes[0] = shape.stride_bytes[1] = row_bytes(matrix);
  shape.box[0] = static_cast<uint32_t>(panel_columns(head_dim));
  shape.box[1] = kBoxRows;
  shape.box[2] = 1;
  shape.swizzle = panel_swizzle(head_dim);
  return ptx::make_tensor_map(map, reinterpret_cast<const T*>(map_base(matrix)), shape);
}

template <class T>
Status make_maps(AttentionMaps& maps, const VarlenAttentionArgs& args) {
  const int head_dim = static_cast<int>(args.shape.head_dim);
  PADLESS_RETURN_IF_ERROR(make_map<T>(maps.q, args.q, head_dim));
  PADLESS_RETURN_IF_ERROR(make_map<T>(maps.k, args.k, head_dim));
  return make_map<T>(maps.v, args.v, head_dim);
}

}  // namespace padless::cuda::sm90
