// The epilogue of a tile of rows, a few rows at a time between the products of the next one.
//
//   struct Epilogue {
//     Epilogue(const PanelTask&);
//     void start(int64_t row, const Scalar* sums);  // the sums of the rows from `row` on
//     void finish(int rows);                        // the next ones
//   };
#pragma once

#include "lib/engine/cpu/gemm/epilogue.h"

namespace padless {
namespace {

/** Any epilogue, by a call. */
template <class Dot>
class CalledEpilogue {
 public:
  using Scalar = typename Dot::Scalar;

  explicit CalledEpilogue(const PanelTask& task)
      : CalledEpilogue(task, task.glu ? choose_finish<Dot, true>(task.activation)
                                      : choose_finish<Dot, false>(task.activation)) {}
  CalledEpilogue(const PanelTask& task, FinishTile<Dot> finish)
      : task_(task), width_(task.vectors * simd::Vec::kLanes), finish_(finish) {}
  void start(int64_t row, const Scalar* sums) {
    row_ = row;
    sums_ = sums;
  }
  void finish(int rows) {
    finish_(task_, row_, rows, sums_);
    row_ += rows;
    sums_ += rows * width_;
  }

 private:
  const PanelTask& task_;
  const int width_;
  const FinishTile<Dot> finish_;
  int64_t row_ = 0;
  const Scalar* sums_ = nullptr;
};

/** LineScales of a Dot whose sums are the product already: what a LineEpilogue adds to one vector of columns.
 */
class LineBias {
 public:
  LineBias(const PanelTask& task, int vector)
      : bias_(task.bias ? simd::load(task.bias + vector * simd::Vec::kLanes) : simd::zero()) {}
  static bool fit([[maybe_unused]] int64_t steps) { return true; }
  simd::Vec value([[maybe_unused]] int64_t row, const float* sums) const { return simd::load(sums) + bias_; }

 private:
  simd::Vec bias_;
};

/**
 * The epilogue of two full vectors side by side, without GLU or a residual before the activation. It is part
 * of the loop over steps: a processor looks ahead a few hundred instructions, so what is long, as GELU, hides
 * behind products only in short stretches between them.
 */
template <class Dot, Activation kActivation, bool kBF16>
class LineEpilogue {
 public:
  using Scalar = typename Dot::Scalar;
  using Vec = simd::Vec;

  explicit LineEpilogue(const PanelTask& task)
      : task_(task),
        low_(task, 0),
        high_(task, 1),
        out_step_(kBF16 ? task.bf16_rows.row_step() : task.out_stride * 4),
        residual_step_(task.residual_stride) {}
  void start(int64_t row, const Scalar* sums) {
    row_ = row;
    sums_ = sums;
    out_ = kBF16 ? task_.bf16_out + task_.bf16_rows.offset(row)
                 : reinterpret_cast<char*>(task_.out + row * task_.out_stride);
    residual_ = task_.residual ? task_.residual + row * task_.residual_stride : nullptr;
  }
  [[gnu::always_inline]] void finish(int rows) {
    for (int i = 0; i < rows; ++i) {
      Vec low = activate<Dot, kActivation>(low_.value(row_, sums_));
      Vec high = activate<Dot, kActivation>(high_.value(row_, sums_ + Vec::kLanes));
      if constexpr (kBF16) {
        Dot::store_bf16_line(out_, low, high);
      } else {
        if (residual_) {
          low = low + simd::load(residual_);
          high = high + simd::load(residual_ + Vec::kLanes);
          residual_ += residual_step_;
        }
        simd::store(reinterpret_cast<float*>(out_), low);
        simd::store(reinterpret_cast<float*>(out_) + Vec::kLanes, high);
      }
      ++row_;
      sums_ += 2 * Vec::kLanes;
      out_ += out_step_;
    }
  }

 private:
  const PanelTask& task_;
  const typename Dot::LineScales low_;
  const typename Dot::LineScales high_;
  const int64_t out_step_;
  const int64_t residual_step_;
  int64_t row_ = 0;
  const Scalar* sums_ = nullptr;
  char* out_ = nullptr;
  const float* residual_ = nullptr;
};

template <class Dot, Activation kActivation, bool kBF16>
[[gnu::noinline]] void finish_lines(const PanelTask& task, int64_t row, int rows,
                                    const typename Dot::Scalar* sums) {
  LineEpilogue<Dot, kActivation, kBF16> epilogue(task);
  epilogue.start(row, sums);
  epilogue.finish(rows);
}

/** A LineEpilogue by a call for each stretch of rows: better where there is little to do with them, since
 * the loop over steps stays short. */
template <class Dot, Activation kActivation, bool kBF16>
class CalledLineEpilogue : public CalledEpilogue<Dot> {
 public:
  explicit CalledLineEpilogue(const PanelTask& task)
      : CalledEpilogue<Dot>(task, finish_lines<Dot, kActivation, kBF16>) {}
};

/** Whether a LineEpilogue does what the task asks for. */
template <class Dot>
bool is_line_task(const PanelTask& task) {
  return Dot::LineScales::fit(task.steps) && task.vectors == 2 && task.columns == 2 * simd::Vec::kLanes &&
         !task.glu && !task.residual_first;
}

}  // namespace
}  // namespace padless
