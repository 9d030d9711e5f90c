// Steps on the heads of a row and the addend of a norm, against double precision: offsets, odd sizes, both
// pairings of rope, one block and many, and what is refused.
#include <array>

#include "lib/engine/cpu/rows/run_rows.h"
#include "test/native/cpu_test.h"
#include "test/native/reference.h"
#include "test/native/vector_tensor.h"

namespace padless::test {
namespace {

Doubles to_doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

/** Heads within wider rows: `before` columns, then the heads, then `after` columns that must stay. */
struct HeadsCase {
  int64_t rows, before, heads, head_dim, after;

  int64_t cols() const { return before + heads * head_dim + after; }
  size_t at(int64_t row, int64_t head, int64_t column) const {
    return static_cast<size_t>(row * cols() + before + head * head_dim + column);
  }
};

constexpr std::array<HeadsCase, 6> kCases = {{{1, 0, 1, 2, 0},
                                              {3, 5, 2, 16, 3},
                                              {7, 0, 3, 30, 0},
                                              {40, 64, 2, 64, 64},
                                              {300, 1, 5, 34, 2},
                                              {0, 0, 2, 8, 0}}};

void check_result(const CpuContext& context, const RowProgram& program, const std::vector<Matrix>& matrices,
                  int64_t rows, const std::vector<float>& got, const Doubles& expected,
                  const std::string& what) {
  const Status status = run_rows_cpu(context, program, matrices, rows);
  const double error = relative_error(got, expected);
  check(status.is_ok() && error < 1e-6, concat(isa_name(context.isa), " threads ", context.threads, " ", what,
                                               ": error ", error, " ", status.message()));
}

std::vector<CpuContext> contexts_of_both_splits() {
  std::vector<CpuContext> list = contexts(1);
  for (const CpuContext& context : contexts(3)) list.push_back(context);
  return list;
}

void test_head_norm() {
  uint64_t salt = 1;
  for (const HeadsCase& shape : kCases) {
    const std::vector<float> x = normal_values(shape.rows * shape.cols(), ++salt);
    const auto gamma = std::make_shared<VectorTensor>(normal_values(shape.head_dim, ++salt));
    const float eps = 1e-2f;
    Doubles expected = to_doubles(x);
    for (int64_t row = 0; row < shape.rows; ++row) {
      for (int64_t head = 0; head < shape.heads; ++head) {
        double squares = 0;
        for (int64_t i = 0; i < shape.head_dim; ++i) squares += std::pow(expected[shape.at(row, head, i)], 2);
        const double scale = 1 / std::sqrt(squares / static_cast<double>(shape.head_dim) + eps);
        for (int64_t i = 0; i < shape.head_dim; ++i) {
          expected[shape.at(row, head, i)] *= scale * gamma->values()[static_cast<size_t>(i)];
        }
      }
    }
    for (const CpuContext& context : contexts_of_both_splits()) {
      std::vector<float> data = x;
      RowProgram program;
      const Slot slot = program.bound(0, shape.cols());
      program.steps.push_back(HeadNormStep{gamma, eps, slot, shape.before, shape.heads, shape.head_dim});
      check_result(context, program, {matrix_of(data, shape.rows, shape.cols())}, shape.rows, data, expected,
                   concat("head norm, heads of ", shape.head_dim));
    }
  }
}

void test_rope() {
  uint64_t salt = 100;
  for (const HeadsCase& shape : kCases) {
    for (const int64_t rotary_dim : {shape.head_dim, (shape.head_dim / 2 + 1) / 2 * 2}) {
      for (const bool interleaved : {false, true}) {
        const std::vector<float> x = normal_values(shape.rows * shape.cols(), ++salt);
        std::vector<float> table = normal_values(shape.rows * rotary_dim, ++salt);
        const int64_t pairs = rotary_dim / 2;
        Doubles expected = to_doubles(x);
        for (int64_t row = 0; row < shape.rows; ++row) {
          for (int64_t head = 0; head < shape.heads; ++head) {
            for (int64_t i = 0; i < pairs; ++i) {
              const double cosine = table[static_cast<size_t>(row * rotary_dim + i)];
              const double sine = table[static_cast<size_t>(row * rotary_dim + pairs + i)];
              const size_t first = shape.at(row, head, interleaved ? 2 * i : i);
              const size_t second = shape.at(row, head, interleaved ? 2 * i + 1 : i + pairs);
              const double a = expected[first];
              const double b = expected[second];
              expected[first] = a * cosine - b * sine;
              expected[second] = b * cosine + a * sine;
            }
          }
        }
        for (const CpuContext& context : contexts_of_both_splits()) {
          std::vector<float> data = x;
          RowProgram program;
          const Slot slot = program.bound(0, shape.cols());
          const Slot turns = program.bound(1, rotary_dim);
          program.steps.push_back(
              RopeStep{slot, turns, shape.before, shape.heads, shape.head_dim, rotary_dim, interleaved});
          check_result(context, program,
                       {matrix_of(data, shape.rows, shape.cols()), matrix_of(table, shape.rows, rotary_dim)},
                       shape.rows, data, expected,
                       concat("rope ", rotary_dim, " of heads of ", shape.head_dim,
                              interleaved ? " interleaved" : ""));
        }
      }
    }
  }
}

void test_norm_addend() {
  uint64_t salt = 500;
  for (const int64_t cols : {1, 17, 96, 100}) {
    for (const bool in_place : {false, true}) {
      const int64_t rows = 50;
      const std::vector<float> x = normal_values(rows * cols, ++salt);
      const std::vector<float> addend = normal_values(rows * cols, ++salt);
      const auto gamma = std::make_shared<VectorTensor>(normal_values(cols, ++salt));
      Doubles expected(x.size());
      for (int64_t row = 0; row < rows; ++row) {
        const auto first = static_cast<size_t>(row * cols);
        double squares = 0;
        for (size_t i = 0; i < static_cast<size_t>(cols); ++i) squares += std::pow(x[first + i], 2);
        const double scale = 1 / std::sqrt(squares / static_cast<double>(cols) + 1e-5);
        for (size_t i = 0; i < static_cast<size_t>(cols); ++i) {
          expected[first + i] = x[first + i] * scale * gamma->values()[i] + addend[first + i];
        }
      }
      for (const CpuContext& context : contexts_of_both_splits()) {
        std::vector<float> in = x;
        std::vector<float> added = addend;
        std::vector<float> out(x.size(), NAN);
        RowProgram program;
        NormStep step;
        step.kind = NormKind::kRms;
        step.gamma = gamma;
        step.eps = 1e-5f;
        step.in = program.bound(0, cols);
        step.add = program.bound(1, cols);
        step.out = in_place ? step.add : program.bound(2, cols);
        program.steps.push_back(step);
        check_result(context, program,
                     {matrix_of(in, rows, cols), matrix_of(added, rows, cols), matrix_of(out, rows, cols)},
                     rows, in_place ? added : out, expected, concat("addend, ", cols, " columns"));
      }
    }
  }
}

void test_refusals() {
  const CpuContext context = contexts(1).front();
  std::vector<float> data(40);
  std::vector<float> turns(16);
  const std::vector<Matrix> matrices = {matrix_of(data, 2, 20), matrix_of(turns, 2, 8)};
  const auto gamma = std::make_shared<VectorTensor>(std::vector<float>(8, 1.f));
  const auto refuse = [&](RowStep step, const std::string& what) {
    RowProgram program;
    program.bound(0, 20);
    program.bound(1, 8);
    program.steps.push_back(std::move(step));
    check_status(run_rows_cpu(context, program, matrices, 2), Code::kInvalidArgument, "program", what);
  };
  refuse(HeadNormStep{gamma, 1e-6f, 0, 5, 2, 8}, "heads beyond the row");
  refuse(HeadNormStep{gamma, 1e-6f, 7, 0, 2, 8}, "no such slot");
  refuse(HeadNormStep{nullptr, 1e-6f, 0, 0, 2, 8}, "a head norm without gamma");
  refuse(HeadNormStep{gamma, 1e-6f, 0, 0, 2, 10}, "gamma of another size");
  refuse(RopeStep{0, 1, 5, 2, 8, 8, false}, "rope beyond the row");
  refuse(RopeStep{0, 1, 0, 2, 8, 7, false}, "odd rotary_dim");
  refuse(RopeStep{0, 1, 0, 2, 4, 8, false}, "rotary_dim beyond the head");
  refuse(RopeStep{0, 1, 0, 2, 10, 10, false}, "a table of another width");
  refuse(RopeStep{1, 1, 0, 1, 8, 8, false}, "a table that turns itself");
  NormStep norm;
  norm.gamma = std::make_shared<VectorTensor>(std::vector<float>(20, 1.f));
  norm.in = norm.out = 0;
  norm.add = 1;
  refuse(norm, "an addend of another width");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  test::test_head_norm();
  test::test_rope();
  test::test_norm_addend();
  test::test_refusals();
  return test::finish();
}
