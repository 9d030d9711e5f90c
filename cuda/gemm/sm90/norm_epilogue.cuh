// The epilogue of a product whose rows are normalised at once: sum = product + bias + residual,
// out = norm(sum). A cluster owns whole rows, each of its blocks kCols columns of them.
//
// A warp keeps its part of 16 rows in registers. Of each row it sends the mean of its columns and the sum of
// squared deviations from that to the warps of the same rows in all blocks of the cluster, through their
// shared memory. Every warp combines what it has received in the order of the blocks (Chan, Golub, LeVeque,
// "Updating formulae and a pairwise algorithm for computing sample variances", 1979): one exchange, no
// cancellation, and bits that depend on the row alone. Statistics are of the sums in f32, before they are
// rounded to storage.
//
// The memory of an exchange is written again two exchanges later. By then this warp has received the one in
// between, which the others sent after they had read.
#pragma once

#include "cuda/gemm/sm90/fragment_epilogue.cuh"
#include "cuda/gemm/sm90/pipeline.cuh"
#include "cuda/tile/row_norm.cuh"

namespace padless::cuda {

template <class T>
struct NormEpilogue {
  const float* bias;  // [cols], or null
  const T* residual;  // [rows, cols], or null
  T* out;             // [rows, cols]
  T* sum;             // [rows, cols], or null
  int64_t residual_stride, out_stride, sum_stride;
  int cols;  // a multiple of eight; rows of all matrices are 16-byte aligned
  RowNorm norm;
};

// What is given by columns, of those of a block: zeros past the matrix.
template <int kCols>
struct NormColumns {
  alignas(8) float bias[kCols];
  alignas(8) float gamma[kCols];
  alignas(8) float beta[kCols];

  // All threads of the block; a barrier follows.
  template <class T>
  DEVICE void load(const NormEpilogue<T>& e, int column) {
    for (int i = static_cast<int>(threadIdx.x); i < kCols; i += static_cast<int>(blockDim.x)) {
      const bool inside = column + i < e.cols;
      bias[i] = inside && e.bias != nullptr ? e.bias[column + i] : 0.0f;
      gamma[i] = inside ? e.norm.gamma[column + i] : 0.0f;
      beta[i] = inside && e.norm.beta != nullptr ? e.norm.beta[column + i] : 0.0f;
    }
  }
};

// What the kColumnBlocks blocks of a row tell each other.
template <int kColumnBlocks>
struct RowExchange {
  static constexpr int kWarps = kConsumers * kWarpgroup / 32;
  float2 part[2][kWarps][kColumnBlocks][kStripRows];  // mean, and squared deviations from it
  uint64_t full[kWarps];                              // a warp has received an exchange

  // One thread; then fence_mbarrier_init and a barrier of the cluster.
  DEVICE void init() {
    for (auto& barrier : full) ptx::mbarrier_init(ptx::cvta_to_shared(&barrier), kColumnBlocks);
  }
};

DEVICE float quad_sum(float value) {
  value += __shfl_xor_sync(~0u, value, 1);
  return value + __shfl_xor_sync(~0u, value, 2);
}

template <class T, int kCols, int kColumnBlocks>
struct NormStorage {
  StripRows<T> strips[RowExchange<kColumnBlocks>::kWarps];
  NormColumns<kCols> columns;
  RowExchange<kColumnBlocks> exchange;
};

// Of a warp, which is the `warp`-th of the block's consumers.
template <class T, int kCols, int kColumnBlocks>
struct NormFinisher {
  static constexpr bool kHoldsTile = true;
  static constexpr int kChunk = kStripVectors * kVectorElements;  // columns that go through the strip at once
  static_assert(kCols % kChunk == 0 && kColumnBlocks <= 4);

  NormStorage<T, kCols, kColumnBlocks>& shared;
  const NormEpilogue<T>& e;
  int rows;
  int first_rank, column_rank;  // of this row's blocks in the cluster the first, and this one's place
  int warp;
  unsigned tiles_done = 0;

  DEVICE void begin(int) {}

  // How many columns of the matrix block `rank` of the row has.
  DEVICE int columns_of(int rank) const { return min(max(e.cols - rank * kCols, 0), kCols); }

  DEVICE void finish(const float (&product)[kCols / 2], int row, int column) {
    const int own = columns_of(column_rank);
    float values[kCols / 2];
    add_operands(values, product, row, column);
    send(statistics_of(values, own));
    if (e.sum != nullptr) store(e.sum, e.sum_stride, row, column, [&](int, int at) { return values[at]; });
    float mean[2], scale[2];
    receive(mean, scale);
    store(e.out, e.out_stride, row, column, [&](int vector, int at) {
      const float2 gamma = pair_of(shared.columns.gamma, vector), beta = pair_of(shared.columns.beta, vector);
      const float factor = scale[at / 2 % 2] * (at % 2 == 0 ? gamma.x : gamma.y);
      return fmaf(values[at] - mean[at / 2 % 2], factor, at % 2 == 0 ? beta.x : beta.y);
    });
    tiles_done++;
  }

 private:
  struct Statistics {
    float mean[2], squares[2];  // of rows lane / 4 and lane / 4 + 8
  };

  DEVICE StripRows<T>& strip() const { return shared.strips[warp]; }
  static DEVICE int lane() { return static_cast<int>(threadIdx.x) % 32; }
  static DEVICE float2 pair_of(const float (&by_column)[kCols], int j) {
    return *reinterpret_cast<const float2*>(&by_column[8 * j + lane() % 4 * 2]);
  }

  DEVICE void add_operands(float (&values)[kCols / 2], const float (&product)[kCols / 2], int row,
                           int column) {
    UNROLL
    for (int first = 0; first < kCols; first += kChunk) {
      if (e.residual != nullptr) {
        for_each_strip_vector<kStripVectors>(
            strip(), row, rows, column + first, e.cols, [&](T* vector, int r, int c) {
              store_aligned(vector, load_aligned(e.residual + r * e.residual_stride + c));
            });
        __syncwarp();
      }
      UNROLL
      for (int j = 0; j < kStripVectors; j += 2) {
        uint32_t words[4] = {};
        if (e.residual != nullptr)
          ptx::ldmatrix_x4(words, strip().address(lane() % kStripRows, j + lane() / kStripRows));
        UNROLL
        for (int i = 0; i < 4; i++) {
          const int at = first / 2 + 4 * j + 2 * i;
          const float2 bias = pair_of(shared.columns.bias, first / 8 + j + i / 2);
          float low = product[at] + bias.x, high = product[at + 1] + bias.y;
          if (e.residual != nullptr) low += low_half<T>(words[i]), high += high_half<T>(words[i]);
          values[at] = low;
          values[at + 1] = high;
        }
      }
      __syncwarp();
    }
  }

  // f(index of a value, row half): of the values that are columns of the matrix.
  template <class F>
  static DEVICE void for_each_value(int own, F f) {
    UNROLL
    for (int j = 0; j < kCols / 8; j++) {
      if (8 * j >= own) continue;
      UNROLL
      for (int i = 0; i < 4; i++) f(4 * j + i, i / 2);
    }
  }

  DEVICE Statistics statistics_of(const float (&values)[kCols / 2], int own) const {
    Statistics s{};
    if (e.norm.kind == NormKind::kLayer && own > 0) {
      for_each_value(own, [&](int i, int half) { s.mean[half] += values[i]; });
      UNROLL
      for (float& mean : s.mean) mean = quad_sum(mean) / static_cast<float>(own);
    }
    for_each_value(own, [&](int i, int half) {
      const float deviation = values[i] - s.mean[half];
      s.squares[half] += deviation * deviation;
    });
    UNROLL
    for (float& squares : s.squares) squares = quad_sum(squares);
    return s;
  }

  // The four lanes of a row send to a block each.
  DEVICE void send(const Statistics& s) {
    const int to = lane() % 4;
    if (to < kColumnBlocks) {
      UNROLL
      for (int half = 0; half < 2; half++) {
        float2& part = shared.exchange.part[tiles_done % 2][warp][column_rank][lane() / 4 + 8 * half];
        const uint32_t there = ptx::mapa(ptx::cvta_to_shared(&part), static_cast<unsigned>(first_rank + to));
        ptx::st_shared_cluster_f32(there, s.mean[half]);
        ptx::st_shared_cluster_f32(there + sizeof(float), s.squares[half]);
      }
    }
    __syncwarp();
    ptx::mbarrier_arrive_rank_if(lane() < kColumnBlocks, ptx::cvta_to_shared(&shared.exchange.full[warp]),
                                 static_cast<unsigned>(first_rank + lane()));
  }

  DEVICE void receive(float (&mean)[2], float (&scale)[2]) {
    ptx::mbarrier_wait_parity_cluster(ptx::cvta_to_shared(&shared.exchange.full[warp]), tiles_done % 2);
    UNROLL
    for (int half = 0; half < 2; half++) {
      const auto part = [&](int rank) {
        return shared.exchange.part[tiles_done % 2][warp][rank][lane() / 4 + 8 * half];
      };
      const float count = static_cast<float>(e.cols);
      float sum = 0.0f, squares = 0.0f;
      UNROLL
      for (int rank = 0; rank < kColumnBlocks; rank++)
        sum += part(rank).x * static_cast<float>(columns_of(rank));
      mean[half] = sum / count;
      UNROLL
      for (int rank = 0; rank < kColumnBlocks; rank++) {
        const float apart = part(rank).x - mean[half];
        squares += part(rank).y + apart * apart * static_cast<float>(columns_of(rank));
      }
      scale[half] = 1.0f / sqrtf(squares / count + e.norm.eps);
    }
  }

  // Column by column in pairs: value(vector of eight columns, index of the value in the tile).
  template <class Value>
  DEVICE void store(T* to, int64_t stride, int row, int column, Value value) {
    UNROLL
    for (int first = 0; first < kCols; first += kChunk) {
      UNROLL
      for (int j = 0; j < kStripVectors; j += 2) {
        uint32_t words[4];
        UNROLL
        for (int i = 0; i < 4; i++) {
          const int at = first / 2 + 4 * j + 2 * i;
          const int vector = first / 8 + j + i / 2;
          words[i] = ptx::cvt_rn_x2<T>(value(vector, at), value(vector, at + 1));
        }
        ptx::stmatrix_x4(strip().address(lane() % kStripRows, j + lane() / kStripRows), words);
      }
      __syncwarp();
      for_each_strip_vector<kStripVectors>(
          strip(), row, rows, column + first, e.cols,
          [&](const T* vector, int r, int c) { store_aligned(to + r * stride + c, load_aligned(vector)); });
      __syncwarp();  // the next columns take the strip
    }
  }
};

}  // namespace padless::cuda
