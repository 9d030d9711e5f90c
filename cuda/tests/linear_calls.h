// Calls of linear() that the GEMM tests of every kernel make: a batch whose rows are compared bit by bit,
// plans of shapes without data, and arguments that are refused.
#pragma once

#include <cstring>
#include <memory>

#include "cuda/tests/kernel_support.h"
#include "cuda/tests/linear_problem.h"

namespace padless::cuda::test {

/** 300 rows of K = 200 times a weight of 136 columns, with GELU: any part of the rows, by any plan. */
template <class T>
class RowBitsOf {
 public:
  static constexpr int64_t kRows = 300;
  using Result = std::unique_ptr<TestMatrix<bf16>>;

  RowBitsOf() {
    in_.fill(random_);
    weight_.fill(random_);
  }
  Result run(int64_t first, int64_t rows, const GemmPlan& plan) const {
    auto out = std::make_unique<TestMatrix<bf16>>(rows, 136);
    LinearArgs args;
    args.in = in_.view();
    args.in.data = args.in.row<T>(first);
    args.in.rows = rows;
    args.weight = weight_.view();
    args.activation = Activation::kGeluErf;
    args.out = out->view();
    if (std::is_same_v<T, e4m3>)
      args.in_scales = in_scales_.data() + first, args.weight_scales = weight_scales_.data();
    check_ok(linear(args, plan, nullptr, nullptr), "bits");
    out->download();
    return out;
  }
  static bool same_row(TestMatrix<bf16>& a, int64_t row_a, TestMatrix<bf16>& b, int64_t row_b) {
    return std::memcmp(&a.at(row_a, 0), &b.at(row_b, 0), static_cast<size_t>(a.cols()) * sizeof(bf16)) == 0;
  }

 private:
  static constexpr int64_t kDepth = 200;
  Random random_{5};
  TestMatrix<T> in_{kRows, kDepth, operand_gap<T>(kDepth, 0)},
      weight_{136, kDepth, operand_gap<T>(kDepth, 0)};
  DeviceBuffer<float> in_scales_{operand_scales<T>(kRows, random_)},
      weight_scales_{operand_scales<T>(136, random_)};
};
using RowBits = RowBitsOf<bf16>;

/** The plan of a product without an epilogue but for the activation. */
inline GemmPlan plan_of(int64_t m, int64_t n, int64_t k, const DeviceProperties& device,
                        const GemmPlanOptions& options = {}, Activation activation = Activation::kNone,
                        DType operands = DType::kBF16) {
  TestMatrix<bf16> any(1, 1);
  LinearArgs args;
  args.in = {any.view().data, operands, m, k, k};
  args.weight = {any.view().data, operands, n, k, k};
  args.out = {any.view().data, DType::kBF16, m, n, n};
  args.activation = activation;
  return plan_gemm(args, device, options);
}

/** A product that works, to be called with one thing changed. */
class ChangedCall {
 public:
  ChangedCall() {
    good_.in = in_.view();
    good_.weight = weight_.view();
    good_.out = out_.view();
  }
  template <class Change>
  void expect(Code code, const char* what, GemmPlan plan, Change change) const {
    LinearArgs changed = good_;
    change(changed);
    check_code(linear(changed, plan, nullptr, nullptr), code, what);
  }

 private:
  TestMatrix<bf16> in_{4, 64}, weight_{8, 64}, out_{4, 8};
  LinearArgs good_;
};

}  // namespace padless::cuda::test
