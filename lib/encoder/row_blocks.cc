#include "lib/encoder/row_blocks.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace padless {
namespace {

/** Results that are in device memory at once: a vocabulary is 250,000 wide, and a batch has 16,384 tokens. */
constexpr int64_t kBlockBytes = int64_t{32} << 20;

}  // namespace

int64_t block_rows(int64_t width) {
  return std::max<int64_t>(1, kBlockBytes / (width * static_cast<int64_t>(sizeof(float))));
}

Result<OwnedMatrix> allocate_matrix(Engine& engine, int64_t rows, int64_t cols) {
  auto buffer = engine.allocate(static_cast<size_t>(rows * cols) * sizeof(float));
  if (!buffer.is_ok()) return buffer.status();
  OwnedMatrix owned{buffer.take(), {}};
  owned.matrix = {owned.buffer->data(), DType::kF32, rows, cols, cols};
  return owned;
}

Matrix row_range(const Matrix& matrix, int64_t first, int64_t count) {
  const int64_t offset = first * matrix.stride * static_cast<int64_t>(dtype_size(matrix.dtype));
  return {static_cast<char*>(matrix.data) + offset, matrix.dtype, count, matrix.cols, matrix.stride};
}

Result<Matrix> ActivationRows::read(int64_t first, int64_t count) {
  if (!rows_ && in_.dtype == DType::kF32) return row_range(in_, first, count);
  if (!gathered_.buffer || gathered_.matrix.rows < count) {
    auto owned = allocate_matrix(engine_, count, in_.cols);
    if (!owned.is_ok()) return owned.status();
    gathered_ = owned.take();
  }
  std::vector<int32_t> indices(static_cast<size_t>(count));
  if (rows_) {
    std::copy_n(rows_->begin() + first, count, indices.begin());
  } else {
    std::iota(indices.begin(), indices.end(), static_cast<int32_t>(first));
  }
  const Matrix out = row_range(gathered_.matrix, 0, count);
  PADLESS_RETURN_IF_ERROR(engine_.gather_rows(stream_, in_, indices, out));
  return out;
}

Result<Matrix> HostRows::read(int64_t first, int64_t count) {
  if (!copied_.buffer || copied_.matrix.rows < count) {
    auto owned = allocate_matrix(engine_, count, cols_);
    if (!owned.is_ok()) return owned.status();
    copied_ = owned.take();
  }
  const Matrix out = row_range(copied_.matrix, 0, count);
  PADLESS_RETURN_IF_ERROR(engine_.copy_to_device(stream_, out.data, data_ + first * cols_,
                                                 static_cast<size_t>(count * cols_) * sizeof(float)));
  return out;
}

}  // namespace padless
