// Rows taken a block at a time, so that what is computed from them never lies in device memory as a whole.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "lib/engine/engine.h"

namespace padless {

/** Asked before every block; another status than ok stops the work. */
using KeepGoing = std::function<Status()>;

/** Tokens of the packed batch whose rows are wanted; none given: all. */
using LogitRows = std::optional<std::span<const int32_t>>;

/** Rows of a block whose results are `width` floats each. */
int64_t block_rows(int64_t width);

/** An f32 matrix in memory of its own. */
struct OwnedMatrix {
  std::unique_ptr<Buffer> buffer;
  Matrix matrix;
};

Result<OwnedMatrix> allocate_matrix(Engine& engine, int64_t rows, int64_t cols);

/** Rows [first, first + count). */
Matrix row_range(const Matrix& matrix, int64_t first, int64_t count);

/** Where blocks come from. */
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual int64_t total() const = 0;
  /** Rows [first, first + count) as f32 in device memory, valid until the next call. */
  virtual Result<Matrix> read(int64_t first, int64_t count) = 0;
};

/** All rows of an activation matrix, or chosen ones. */
class ActivationRows : public RowSource {
 public:
  ActivationRows(Engine& engine, Stream& stream, const Matrix& in, const LogitRows& rows)
      : engine_(engine), stream_(stream), in_(in), rows_(rows) {}

  int64_t total() const override { return rows_ ? static_cast<int64_t>(rows_->size()) : in_.rows; }
  Result<Matrix> read(int64_t first, int64_t count) override;

 private:
  Engine& engine_;
  Stream& stream_;
  const Matrix& in_;
  LogitRows rows_;
  OwnedMatrix gathered_;
};

/** Rows of host memory, f32 [rows, cols], which must stay until the stream has read them. */
class HostRows : public RowSource {
 public:
  HostRows(Engine& engine, Stream& stream, const float* data, int64_t rows, int64_t cols)
      : engine_(engine), stream_(stream), data_(data), rows_(rows), cols_(cols) {}

  int64_t total() const override { return rows_; }
  Result<Matrix> read(int64_t first, int64_t count) override;

 private:
  Engine& engine_;
  Stream& stream_;
  const float* data_;
  int64_t rows_;
  int64_t cols_;
  OwnedMatrix copied_;
};

}  // namespace padless
