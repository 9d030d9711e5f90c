// The epilogue of epilogue.cuh on accumulators of wgmma: a warp finishes 16 rows in its registers.
//
// Columns travel between fragments and 16-byte vectors of global memory through a strip of shared memory, by
// stmatrix and, for the residual, ldmatrix. f32 results do so by an exchange between two lanes.
#pragma once

#include <type_traits>

#include "cuda/gemm/epilogue.cuh"
#include "cuda/ptx/stmatrix.cuh"
#include "cuda/tile/shared_tile.cuh"

namespace padless::cuda {

constexpr int kStripRows = 16, kStripVectors = 8;

template <class T>
using StripRows = SharedTile<T, kStripRows, kStripVectors * kVectorElements>;

// Of one warp. What is given by columns lies here before the product is finished, zeros where there is none.
template <class E, int kColumns>
struct EpilogueStrip {
  StripRows<typename E::Element> rows;
  alignas(8) float bias[kColumns];
  alignas(8) float scales[E::kScaled ? kColumns : 2];

  // All lanes; `column` is the product's for bias[0].
  DEVICE void load_columns(const E& e, int column, int columns) {
    __syncwarp();
    for (int i = static_cast<int>(threadIdx.x) % 32; i < kColumns; i += 32) {
      const bool inside = column + i < columns;
      bias[i] = e.bias != nullptr && inside ? e.bias[column + i] : 0.0f;
      if constexpr (E::kScaled) scales[i] = inside ? e.column_scales[column + i] : 0.0f;
    }
    __syncwarp();
  }
};

// f(std::integral_constant<Activation, activation>): its body is compiled once for each.
template <class F>
DEVICE void with_fragment_activation(Activation activation, F f) {
  switch (activation) {
    case Activation::kGeluErf:
      return f(std::integral_constant<Activation, Activation::kGeluErf>{});
    case Activation::kGeluTanh:
      return f(std::integral_constant<Activation, Activation::kGeluTanh>{});
    case Activation::kRelu:
      return f(std::integral_constant<Activation, Activation::kRelu>{});
    case Activation::kSilu:
      return f(std::integral_constant<Activation, Activation::kSilu>{});
    default:
      return;
  }
}

// visit(vector in the strip, row, column) for 16-byte vectors of rows `row` to row + 15 and of 8 * kVectors
// columns from `column`, if they exist: those of the lane, coalesced over lanes.
template <int kVectors, class Rows, class Visit>
DEVICE void for_each_strip_vector(Rows& strip, int row, int rows, int column, int columns, Visit visit) {
  static_assert(kVectors <= kStripVectors && kVectors % 2 == 0);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  UNROLL
  for (int part = 0; part < kStripRows * kVectors / 32; part++) {
    const int strip_row = (part * 32 + lane) / kVectors, vector = (part * 32 + lane) % kVectors;
    const int r = row + strip_row, c = column + vector * kVectorElements;
    if (r < rows && c < columns) visit(strip.chunk(strip_row, vector), r, c);
  }
}

// Rows `row` to row + 15 of the output, 8 * kVectors columns from `column`: values[4 * j ..] are a lane's of
// columns 8 * j .. + 7.
template <class T, int kVectors, class Strip>
DEVICE void store_fragments(const float (&values)[4 * kVectors], Strip& strip, const Epilogue<T>& e, int row,
                            int rows, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto for_each_vector = [&](auto visit) {
    for_each_strip_vector<kVectors>(strip.rows, row, rows, column, e.out_cols, visit);
  };
  if (e.residual != nullptr) {
    for_each_vector([&](T* vector, int r, int c) {
      const T* source = e.residual + r * e.residual_stride + c;
      if (e.whole) {
        store_aligned(vector, load_aligned(source));
      } else {
        float elements[kVectorElements];
        load_elements(elements, source, e.out_cols - c);
        store_aligned(vector, pack<T>(elements));
      }
    });
    __syncwarp();
  }
  UNROLL
  for (int j = 0; j < kVectors; j += 2) {
    const uint32_t address = strip.rows.address(lane % 16, j + lane / 16);
    uint32_t words[4] = {};
    if (e.residual != nullptr) ptx::ldmatrix_x4(words, address);
    UNROLL
    for (int i = 0; i < 4; i++) {
      float low = values[4 * j + 2 * i], high = values[4 * j + 2 * i + 1];
      if (e.residual != nullptr) low += low_half<T>(words[i]), high += high_half<T>(words[i]);
      words[i] = ptx::cvt_rn_x2<T>(low, high);
    }
    ptx::stmatrix_x4(address, words);
  }
  __syncwarp();
  for_each_vector([&](const T* vector, int r, int c) {
    T* out = static_cast<T*>(e.out) + r * e.out_stride + c;
    const RawVector<T> raw = load_aligned(vector);
    if (e.whole) {
      store_aligned(out, raw);
    } else {
      float elements[kVectorElements];
      unpack(elements, raw);
      store_elements(out, elements, e.out_cols - c);
    }
  });
  __syncwarp();  // the next columns take the strip
}

// The same for an f32 output: of two neighbouring lanes the even one takes the upper row of both, the odd one
// the lower, four columns each.
template <class T, int kVectors>
DEVICE void store_fragments_f32(const float (&values)[4 * kVectors], const Epilogue<T>& e, int row, int rows,
                                int column) {
  constexpr int kPart = 4;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const bool odd = lane % 2 != 0;
  const int r = row + lane / 4 + (odd ? 8 : 0);
  UNROLL
  for (int j = 0; j < kVectors; j++) {
    const float first = __shfl_xor_sync(~0u, odd ? values[4 * j] : values[4 * j + 2], 1);
    const float second = __shfl_xor_sync(~0u, odd ? values[4 * j + 1] : values[4 * j + 3], 1);
    float part[kPart] = {odd ? first : values[4 * j], odd ? second : values[4 * j + 1],
                         odd ? values[4 * j + 2] : first, odd ? values[4 * j + 3] : second};
    const int c = column + j * kVectorElements + lane % 4 / 2 * kPart;
    if (r >= rows || c >= e.out_cols) continue;
    if (e.residual != nullptr) {
      UNROLL
      for (int i = 0; i < kPart; i++) {
        if (c + i < e.out_cols) part[i] += static_cast<float>(e.residual[r * e.residual_stride + c + i]);
      }
    }
    float* out = static_cast<float*>(e.out) + r * e.out_stride + c;
    if (e.whole) {
      *reinterpret_cast<float4*>(out) = make_float4(part[0], part[1], part[2], part[3]);
    } else {
      UNROLL
      for (int i = 0; i < kPart; i++) {
        if (c + i < e.out_cols) out[i] = part[i];
      }
    }
  }
}

// All lanes of a warp: rows `row` to row + 15 of the product, whose columns from `column` are in `product` as
// wgmma leaves them. Rows from `rows` on are not touched. 64 columns at a time, copied, because ptxas gives
// wgmma no registers that other instructions write.
template <int kColumns, class Strip, class E>
DEVICE void finish_fragments(const float (&product)[kColumns / 2], Strip& strip, const E& e, int row,
                             int rows, int column) {
  using T = typename E::Element;
  constexpr int kVectors = kStripVectors, kValues = 4 * kVectors;
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float row_scales[2] = {};
  if constexpr (E::kScaled) {
    UNROLL
    for (int half = 0; half < 2; half++) {
      const int r = row + lane / 4 + half * 8;
      if (r < rows) row_scales[half] = e.row_scales[r];
    }
  }
  UNROLL
  for (int first = 0; first < kColumns; first += 8 * kVectors) {
    float values[kValues];
    UNROLL
    for (int j = 0; j < kVectors; j++) {
      const int strip_column = first + 8 * j + lane % 4 * 2;
      const float2 bias = *reinterpret_cast<const float2*>(&strip.bias[strip_column]);
      float2 scale{};
      if constexpr (E::kScaled) scale = *reinterpret_cast<const float2*>(&strip.scales[strip_column]);
      UNROLL
      for (int i = 0; i < 4; i++) {
        const float sum = product[first / 2 + 4 * j + i], column_bias = i % 2 == 0 ? bias.x : bias.y;
        if constexpr (E::kScaled)
          values[4 * j + i] = fmaf(sum * (i % 2 == 0 ? scale.x : scale.y), row_scales[i / 2], column_bias);
        else
          values[4 * j + i] = sum + column_bias;
      }
    }
    with_fragment_activation(e.activation, [&](auto activation) {
      UNROLL
      for (int j = 0; j < kVectors; j++) {
        if (e.glu && j % 2 != 0) continue;
        UNROLL
        for (int i = 0; i < 4; i++) values[4 * j + i] = activate<T>(activation.value, values[4 * j + i]);
      }
    });
    if (e.glu) {
      float gated[kValues / 2];
      UNROLL
      for (int i = 0; i < kValues / 2; i++)
        gated[i] = values[i / 4 * 8 + i % 4] * values[i / 4 * 8 + 4 + i % 4];
      if (e.out_f32)
        store_fragments_f32<T, kVectors / 2>(gated, e, row, rows, (column + first) / 2);
      else
        store_fragments<T, kVectors / 2>(gated, strip, e, row, rows, (column + first) / 2);
    } else if (e.out_f32) {
      store_fragments_f32<T, kVectors>(values, e, row, rows, column + first);
    } else {
      store_fragments<T, kVectors>(values, strip, e, row, rows, column + first);
    }
  }
}

}  // namespace padless::cuda
