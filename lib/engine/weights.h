// Weights as an engine holds them: packed, converted or quantised for its kernels, immutable, shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "lib/core/matrix.h"
#include "lib/core/status.h"

namespace padless {

/** A tensor in host memory, contiguous, row-major; typically a view into a mapped safetensors file. */
struct HostTensor {
  const void* data = nullptr;
  DType dtype = DType::kF32;  // kF32, kF16 or kBF16 for weights
  std::vector<int64_t> shape;
  /** Where set: tells the owner of `data` that its bytes [begin, end) are not needed now, so that their pages
   * may leave memory. They stay readable. Any thread may call it. */
  std::function<void(size_t begin, size_t end)> let_go = nullptr;

  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_size(dtype); }
  int64_t elements() const {
    int64_t count = 1;
    for (int64_t dim : shape) count *= dim;
    return count;
  }
};

/** dst[i] = float(tensor[first + i]) of a tensor in f32, f16 or bf16. */
void read_floats(const HostTensor& tensor, int64_t first, int64_t count, float* dst);

/** What Engine::upload takes: rank 1 or 2, floats as any float dtype, i32 as i32. */
Status check_upload(const HostTensor& tensor, DType dtype);

/** A tensor an engine owns, in its storage dtype; rank 1 is one row. */
class DeviceTensor {
 public:
  virtual ~DeviceTensor() = default;
  virtual Matrix view() const = 0;
  virtual size_t bytes() const = 0;
};

/** One [out_features, in_features] block of a linear layer, with its bias [out_features] or none. */
struct LinearPart {
  HostTensor weight;
  HostTensor bias;  // data == nullptr: no bias
};

/** What the matrix product computes in: storage of the packed weight and precision of its operands. kI8 and
 * kFp8 (e4m3) are codes, with a scale for each output channel and each row of the activations. */
enum class ComputeType : uint8_t { kF32, kBF16, kF16, kI8, kFp8 };

/** A row of the stacked parts of a linear layer. */
struct LinearRow {
  const LinearPart* part = nullptr;  // null: padding
  int64_t row = 0;
};

struct LinearSource {
  /** Stacked along the outputs: {query, key, value} make one product. */
  std::vector<LinearPart> parts;
  /** Exactly two parts of equal size, {gate, up}: the product yields activation(gate) * up. */
  bool glu = false;
  ComputeType compute = ComputeType::kF32;

  /** Where row `stacked_row` of the stacked parts comes from; no part for rows before and behind them. */
  LinearRow row(int64_t stacked_row) const;
};

/** E_INVALID_ARGUMENT for parts whose shapes disagree, E_UNSUPPORTED for weights that are no floats. */
Status check_linear_source(const LinearSource& source);

/** A linear layer in an engine's own layout. */
class LinearWeight {
 public:
  virtual ~LinearWeight() = default;
  virtual int64_t in_features() const = 0;
  /** Columns of the result: the sum of the parts, half of it for a GLU. */
  virtual int64_t out_features() const = 0;
  virtual size_t bytes() const = 0;
};

}  // namespace padless
