// Loops of tile products, each on memory of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lib/engine/cpu/context.h"
#include "lib/engine/cpu/linear.h"
#include "lib/engine/cpu/memory.h"

namespace padless::bench {

/**
 * A round of every loop multiplies a block of rows, [kRows, 768 bytes], with weights as of 32 columns: as a
 * thread does for a panel of MiniLM in bf16 (384 features) or of BERT-base in int8 (768).
 */
class TileWork {
 public:
  TileWork(const CpuContext& context, ComputeType compute, uint64_t seed);

  static constexpr int64_t kRows = 384;
  static constexpr int64_t kRowBytes = 768;
  static constexpr int64_t kColumns = 32;
  /** Of a round; a multiply and an add are two. */
  static double operations(ComputeType compute) {
    const int64_t features = compute == ComputeType::kI8 ? kRowBytes : kRowBytes / 2;
    return 2.0 * static_cast<double>(kRows * features * kColumns);
  }

  /** Tiles that are loaded once. */
  void registers(long rounds);
  /** Rows and weights that L1 holds together: the same half of a tile of rows again and again. */
  void operands_in_l1(long rounds);
  /** Rows from L2, weights in L1; `stores`: sums go to memory, as an epilogue reads them. */
  void rows_in_l2(long rounds, bool stores);
  /** All panels, which take more than the caches hold. */
  static constexpr int64_t kAllPanels = int64_t{1} << 40;
  /** The engine's kernel: a panel a round, each fetched during the one before, results as rows of bf16. */
  void panels(long rounds, Activation activation, int64_t distinct);

 private:
  template <class Product>
  void multiply(long rounds, int64_t row_step, int64_t count, bool stores);
  template <class Product>
  void multiply_registers(long rounds);

  const GemmKernel* kernel_;
  bool is_int8_;
  std::shared_ptr<const LinearWeight> weight_;
  AlignedBlock rows_;
  AlignedBlock results_;
  AlignedBlock sums_;
  std::vector<float> scales_;
  std::vector<int32_t> zero_points_;
  int64_t panel_ = 0;
};

}  // namespace padless::bench
