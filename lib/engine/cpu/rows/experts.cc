#include "lib/engine/cpu/rows/experts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "lib/engine/cpu/parallel_rows.h"
#include "lib/engine/cpu/rows/run_rows.h"

namespace padless {
namespace {

/** The rows that go to one expert, rising, and the weight of its result in each. */
struct Share {
  std::vector<int32_t> rows;
  std::vector<float> weights;
};

Matrix matrix_of(std::vector<float>& values, int64_t rows, int64_t cols) {
  return {values.data(), DType::kF32, rows, cols, cols};
}

const float* row_of(const Matrix& matrix, int64_t row) {
  return static_cast<const float*>(matrix.data) + row * matrix.stride;
}

float* row_of(Matrix& matrix, int64_t row) { return static_cast<float*>(matrix.data) + row * matrix.stride; }

/** Softmax over all experts, then the largest `chosen`; of equals the first. */
std::vector<Share> route(std::vector<float>& logits, int64_t rows, int64_t experts, int64_t chosen) {
  std::vector<Share> shares(static_cast<size_t>(experts));
  for (int64_t row = 0; row < rows; ++row) {
    float* scores = logits.data() + row * experts;
    const float largest = *std::max_element(scores, scores + experts);
    float sum = 0;
    for (int64_t e = 0; e < experts; ++e) sum += scores[e] = std::exp(scores[e] - largest);
    for (int64_t pick = 0; pick < chosen; ++pick) {
      const int64_t best = std::max_element(scores, scores + experts) - scores;
      shares[best].rows.push_back(static_cast<int32_t>(row));
      shares[best].weights.push_back(scores[best] / sum);
      scores[best] = -1;
    }
  }
  return shares;
}

class ExpertsRun {
 public:
  ExpertsRun(const CpuContext& context, const ExpertsStep& step, const Matrix& in, const Matrix& out)
      : context_(context), step_(step), in_(in), out_(out) {}

  Status start(const Matrix& residual, int64_t rows) {
    const Matrix* bias = nullptr;
    Matrix view;
    if (step_.bias) {
      view = step_.bias->view();
      PADLESS_CHECK(view.dtype == DType::kF32 && view.rows * view.cols == out_.cols, Code::kInvalidArgument,
                    "bias", "a bias of ", view.rows * view.cols, " elements for ", out_.cols);
      bias = &view;
    }
    parallel_rows(rows, out_.cols, context_.threads, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        float* out = row_of(out_, row);
        std::memcpy(out, row_of(residual, row), static_cast<size_t>(out_.cols) * sizeof(float));
        if (!bias) continue;
        const float* add = row_of(*bias, 0);
        for (int64_t i = 0; i < out_.cols; ++i) out[i] += add[i];
      }
    });
    return Status::ok();
  }

  /** out[row] += weight * down(activation(up(in[row]))) for the expert's rows. */
  Status add(const Expert& expert, const Share& share) {
    const auto count = static_cast<int64_t>(share.rows.size());
    if (count == 0) return Status::ok();
    const int64_t cols = in_.cols;
    gathered_.resize(static_cast<size_t>(count * cols));
    results_.resize(static_cast<size_t>(count * out_.cols));
    parallel_rows(count, cols, context_.threads, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        std::memcpy(gathered_.data() + i * cols, row_of(in_, share.rows[i]),
                    static_cast<size_t>(cols) * sizeof(float));
      }
    });
    RowProgram program;
    const Slot from = program.bound(0, cols);
    const Slot inner = program.temporary(expert.up->out_features());
    const Slot to = program.bound(1, out_.cols);
    program.steps.push_back(LinearStep{expert.up, from, inner, kNoSlot, step_.activation});
    program.steps.push_back(LinearStep{expert.down, inner, to});
    const Matrix matrices[] = {matrix_of(gathered_, count, cols), matrix_of(results_, count, out_.cols)};
    PADLESS_RETURN_IF_ERROR(run_rows_cpu(context_, program, matrices, count));
    parallel_rows(count, out_.cols, context_.threads, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        float* out = row_of(out_, share.rows[i]);
        const float* result = results_.data() + i * out_.cols;
        const float weight = share.weights[i];
        for (int64_t c = 0; c < out_.cols; ++c) out[c] += weight * result[c];
      }
    });
    return Status::ok();
  }

 private:
  const CpuContext& context_;
  const ExpertsStep& step_;
  const Matrix& in_;
  Matrix out_;
  std::vector<float> gathered_;
  std::vector<float> results_;
};

}  // namespace

Status run_experts_cpu(const CpuContext& context, const ExpertsStep& step, const Matrix& in,
                       const Matrix& residual, const Matrix& out, int64_t rows) {
  PADLESS_RETURN_IF_ERROR(check_experts(step, in.cols, out.cols));
  const auto experts = static_cast<int64_t>(step.experts.size());
  std::vector<float> logits(static_cast<size_t>(rows * experts));
  RowProgram router;
  const Slot from = router.bound(0, in.cols);
  router.steps.push_back(LinearStep{step.router, from, router.bound(1, experts)});
  const Matrix matrices[] = {in, matrix_of(logits, rows, experts)};
  PADLESS_RETURN_IF_ERROR(run_rows_cpu(context, router, matrices, rows));

  const std::vector<Share> shares = route(logits, rows, experts, step.chosen);
  ExpertsRun run(context, step, in, out);
  PADLESS_RETURN_IF_ERROR(run.start(residual, rows));
  // One expert after another: each row takes its results in one order, whatever else is in the batch.
  for (size_t e = 0; e < shares.size(); ++e) PADLESS_RETURN_IF_ERROR(run.add(step.experts[e], shares[e]));
  return Status::ok();
}

}  // namespace padless
