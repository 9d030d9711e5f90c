// Whole row programs: norms, temporaries, aliasing, thread counts, and what is refused.
#include "lib/engine/cpu/rows/blocking.h"
#include "test/native/linear_case.h"
#include "test/native/vector_tensor.h"

namespace padless::test {
namespace {

Doubles norm_reference(const Doubles& x, int64_t rows, int64_t cols, NormKind kind,
                       const std::vector<float>& gamma, const std::vector<float>& beta, double eps) {
  Doubles out(x.size());
  for (int64_t row = 0; row < rows; ++row) {
    const double* in = &x[static_cast<size_t>(row * cols)];
    double mean = 0;
    for (int64_t i = 0; i < cols; ++i) mean += in[i] / static_cast<double>(cols);
    if (kind == NormKind::kRms) mean = 0;
    double variance = 0;
    for (int64_t i = 0; i < cols; ++i)
      variance += (in[i] - mean) * (in[i] - mean) / static_cast<double>(cols);
    for (int64_t i = 0; i < cols; ++i) {
      const size_t at = static_cast<size_t>(i);
      out[static_cast<size_t>(row * cols) + at] =
          (in[i] - mean) / std::sqrt(variance + eps) * gamma[at] + (beta.empty() ? 0 : beta[at]);
    }
  }
  return out;
}

/** How much larger the terms gamma and beta are than what is left of them: beta may take most of it away. */
double magnitude(const Doubles& result, const std::vector<float>& gamma, const std::vector<float>& beta) {
  double left = 0;
  double terms = 0;
  for (size_t i = 0; i < result.size(); ++i) {
    const double term = std::abs(gamma[i % gamma.size()]) + std::abs(beta[i % beta.size()]);
    left += result[i] * result[i];
    terms += term * term;
  }
  return std::max(1.0, std::sqrt(terms / left));
}

void test_norms() {
  uint64_t salt = 1;
  for (int64_t cols : {1, 2, 15, 17, 96, 100, 384, 771}) {
    for (int64_t rows : {1, 3, 100}) {
      for (NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
        for (bool in_place : {false, true}) {
          std::vector<float> x = normal_values(rows * cols, ++salt);
          for (float& value : x) value += 30.f;  // a one-pass variance loses these digits
          const auto gamma = std::make_shared<VectorTensor>(normal_values(cols, ++salt));
          const auto beta = in_place ? nullptr : std::make_shared<VectorTensor>(normal_values(cols, ++salt));
          const float eps = 1e-5f;
          const Doubles expected = norm_reference(to_doubles(x), rows, cols, kind, gamma->values(),
                                                  beta ? beta->values() : std::vector<float>{}, eps);
          const double cancelled =
              magnitude(expected, gamma->values(), beta ? beta->values() : gamma->values());
          for (const CpuContext& context : contexts(2)) {
            std::vector<float> in = x;
            std::vector<float> out(x.size(), NAN);
            RowProgram program;
            NormStep step;
            step.kind = kind;
            step.gamma = gamma;
            step.beta = beta;
            step.eps = eps;
            step.in = program.bound(0, cols);
            step.out = in_place ? step.in : program.bound(1, cols);
            program.steps.push_back(step);
            const Matrix matrices[] = {matrix_of(in, rows, cols), matrix_of(out, rows, cols)};
            const Status status = run_rows_cpu(context, program, matrices, rows);
            const double error = relative_error(in_place ? in : out, expected);
            // Two values near 30 may differ by less than the rounding of their mean, 2e-6; eps bounds what
            // that does to the quotient by 2e-6 / sqrt(1e-5).
            const double limit = kind == NormKind::kRms ? 1e-6 * cancelled : cols == 2 ? 1e-3 : 2e-5;
            check(status.is_ok() && error < limit,
                  concat(isa_name(context.isa), " norm ", rows, "x", cols, " kind ", static_cast<int>(kind),
                         ": error ", error, " ", status.message()));
          }
        }
      }
    }
  }
}

void test_l2_normalize() {
  for (int64_t cols : {1, 7, 64, 385}) {
    std::vector<float> x = normal_values(5 * cols, static_cast<uint64_t>(cols));
    std::fill_n(x.begin() + cols, cols, 0.f);  // a zero row stays zero
    Doubles expected = to_doubles(x);
    for (int64_t row = 0; row < 5; ++row) {
      double squares = 0;
      for (int64_t i = 0; i < cols; ++i)
        squares += std::pow(expected[static_cast<size_t>(row * cols + i)], 2);
      for (int64_t i = 0; i < cols; ++i) {
        expected[static_cast<size_t>(row * cols + i)] /= std::max(std::sqrt(squares), 1e-12);
      }
    }
    for (const CpuContext& context : contexts(1)) {
      std::vector<float> out = x;
      RowProgram program;
      const Slot slot = program.bound(0, cols);
      program.steps.push_back(L2NormalizeStep{slot, slot});
      const Matrix matrices[] = {matrix_of(out, 5, cols)};
      const Status status = run_rows_cpu(context, program, matrices, 5);
      check(status.is_ok() && relative_error(out, expected) < 1e-6,
            concat(isa_name(context.isa), " l2 ", cols, ": error ", relative_error(out, expected)));
    }
  }
}

/** The rows of an encoder layer after attention: projection, norm, feed-forward, norm, next projection. */
struct LayerProgram {
  static constexpr int64_t kHidden = 96;
  static constexpr int64_t kNext = 3 * kHidden;

  /** `bind_inner`: the feed-forward's columns are a matrix of the caller's, not a temporary. */
  LayerProgram(const CpuContext& context, ComputeType compute, int64_t inner_columns, bool bind_inner,
               uint64_t salt)
      : out_case{.in_features = kHidden, .parts = {kHidden}, .compute = compute},
        up_case{.in_features = kHidden,
                .parts = {inner_columns},
                .activation = Activation::kGeluErf,
                .compute = compute},
        down_case{.in_features = inner_columns, .parts = {kHidden}, .compute = compute},
        next_case{.in_features = kHidden, .parts = {kHidden, kHidden, kHidden}, .compute = compute},
        out(out_case, salt),
        up(up_case, salt + 100),
        down(down_case, salt + 200),
        next(next_case, salt + 300),
        gamma(std::make_shared<VectorTensor>(normal_values(kHidden, salt + 400))),
        beta(std::make_shared<VectorTensor>(normal_values(kHidden, salt + 401))) {
    const Slot attention = program.bound(0, kHidden);
    const Slot hidden = program.bound(1, kHidden);
    const Slot qkv = program.bound(2, kNext);
    const Slot inner = bind_inner ? program.bound(3, inner_columns) : program.temporary(inner_columns);
    const Slot sum = program.temporary(kHidden);
    add_linear(context, out, out_case, attention, sum, hidden);
    program.steps.push_back(NormStep{NormKind::kLayer, gamma, beta, 1e-12f, sum, hidden});
    add_linear(context, up, up_case, hidden, inner, kNoSlot);
    add_linear(context, down, down_case, inner, hidden, hidden);
    program.steps.push_back(NormStep{NormKind::kLayer, gamma, beta, 1e-12f, hidden, hidden});
    add_linear(context, next, next_case, hidden, qkv, kNoSlot);
  }

  void add_linear(const CpuContext& context, const LinearData& data, const LinearCase& shape, Slot in,
                  Slot to, Slot residual) {
    auto weight = pack_linear_cpu(context, data.source(shape));
    check(weight.is_ok(), weight.status().message());
    if (weight.is_ok())
      program.steps.push_back(LinearStep{weight.value(), in, to, residual, shape.activation});
  }

  struct Values {
    Doubles hidden;
    Doubles qkv;
  };
  Values reference(const Doubles& attention, const Doubles& hidden, int64_t rows) const {
    const auto product = [&](const Doubles& x, const LinearData& data, const LinearCase& shape) {
      return linear_reference(x, data.stacked_weights(), data.stacked_biases(shape), rows, shape.stacked(),
                              shape.in_features);
    };
    const auto add = [](Doubles a, const Doubles& b) {
      for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
      return a;
    };
    const auto norm = [&](const Doubles& x) {
      return norm_reference(x, rows, kHidden, NormKind::kLayer, gamma->values(), beta->values(), 1e-12);
    };
    const Doubles first = norm(add(product(attention, out, out_case), hidden));
    Doubles inner = product(first, up, up_case);
    for (double& value : inner) value = activate_reference(Activation::kGeluErf, value);
    const Doubles second = norm(add(product(inner, down, down_case), first));
    return {second, product(second, next, next_case)};
  }

  LinearCase out_case, up_case, down_case, next_case;
  LinearData out, up, down, next;
  std::shared_ptr<VectorTensor> gamma, beta;
  RowProgram program;
};

/** Without `batch_invariant`, among batches of many rows. */
void test_layer(ComputeType compute, int64_t inner_columns, double limit, bool batch_invariant) {
  const int64_t most = 333;
  std::vector<float> attention = normal_values(most * LayerProgram::kHidden, 11);
  const std::vector<float> hidden = normal_values(most * LayerProgram::kHidden, 12);
  LayerProgram::Values expected;  // the same of every context
  for (CpuContext context : kernel_contexts(1)) {
    const LayerProgram layer(context, compute, inner_columns, false, 1000);
    if (expected.hidden.empty()) {
      expected = layer.reference(to_doubles(attention), to_doubles(hidden), most);
    }
    std::vector<float> first_qkv;
    context.batch_invariant = batch_invariant;
    for (int threads = 1; threads <= 4; ++threads) {
      context.threads = threads;
      for (int64_t rows : {most, int64_t{0}, int64_t{1}, int64_t{16}, int64_t{45}, int64_t{100}, kManyRows}) {
        if (!batch_invariant && rows > 0 && rows < kManyRows) continue;
        std::vector<float> state = hidden;
        std::vector<float> qkv(static_cast<size_t>(rows * LayerProgram::kNext), NAN);
        const Matrix matrices[] = {matrix_of(attention, most, LayerProgram::kHidden),
                                   matrix_of(state, most, LayerProgram::kHidden),
                                   matrix_of(qkv, rows, LayerProgram::kNext)};
        const Status status = run_rows_cpu(context, layer.program, matrices, rows);
        const std::string name = concat(isa_name(context.isa), " layer ", rows, " rows, threads ", threads);
        check(status.is_ok(), concat(name, ": ", status.message()));
        if (first_qkv.empty()) {
          first_qkv = qkv;
          check(relative_error(state, expected.hidden) < limit,
                concat(name, ": hidden error ", relative_error(state, expected.hidden)));
          check(relative_error(qkv, expected.qkv) < limit,
                concat(name, ": qkv error ", relative_error(qkv, expected.qkv)));
        }
        check(rows == 0 || std::memcmp(qkv.data(), first_qkv.data(), qkv.size() * sizeof(float)) == 0,
              concat(name, ": other bits than in the whole batch"));
        check(std::memcmp(&state[static_cast<size_t>(rows * LayerProgram::kHidden)],
                          &hidden[static_cast<size_t>(rows * LayerProgram::kHidden)],
                          static_cast<size_t>((most - rows) * LayerProgram::kHidden) * sizeof(float)) == 0,
              concat(name, ": rows beyond the last were written"));
      }
    }
  }
}

/**
 * A temporary between two products may be kept as bf16: a matrix that shows it as f32 changes no bits, but
 * for codes of 8 bits, which then are of the numbers before their rounding.
 */
void test_bound_inner(int64_t inner_columns) {
  const int64_t rows = 77;
  std::vector<float> attention = normal_values(rows * LayerProgram::kHidden, 21);
  std::vector<float> inner(static_cast<size_t>(rows * inner_columns));
  for (ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kI8}) {
    for (const CpuContext& context : kernel_contexts(2)) {
      std::vector<float> results[2];
      for (bool bind_inner : {false, true}) {
        const LayerProgram layer(context, compute, inner_columns, bind_inner, 1000);
        std::vector<float> state = normal_values(rows * LayerProgram::kHidden, 22);
        std::vector<float>& qkv = results[bind_inner];
        qkv.resize(static_cast<size_t>(rows * LayerProgram::kNext));
        const Matrix matrices[] = {
            matrix_of(attention, rows, LayerProgram::kHidden), matrix_of(state, rows, LayerProgram::kHidden),
            matrix_of(qkv, rows, LayerProgram::kNext), matrix_of(inner, rows, inner_columns)};
        const Status status = run_rows_cpu(context, layer.program, matrices, rows);
        check(status.is_ok(), status.message());
      }
      const bool codes = compute == ComputeType::kI8;
      const Doubles second = to_doubles(results[1]);
      check(codes ? relative_error(results[0], second) < 1e-2 : results[0] == results[1],
            concat(isa_name(context.isa), " compute ", static_cast<int>(compute), ", inner ", inner_columns,
                   ": other bits as a matrix"));
    }
  }
}

/** A matrix that only products write may be bf16 where they store it: the f32 results, rounded. */
void test_bf16_matrix() {
  const int64_t rows = 77;
  std::vector<float> attention = normal_values(rows * LayerProgram::kHidden, 31);
  for (ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kI8}) {
    for (const CpuContext& context : kernel_contexts(2)) {
      const LayerProgram layer(context, compute, 192, false, 1000);
      const auto& next = std::get<LinearStep>(layer.program.steps.back());
      const bool stores = dynamic_cast<const CpuLinearWeight&>(*next.weight).kernel().stores_bf16;
      std::vector<float> qkv(static_cast<size_t>(rows * LayerProgram::kNext));
      std::vector<uint16_t> halves(qkv.size());
      Matrix out = matrix_of(qkv, rows, LayerProgram::kNext);
      const std::string name = concat(isa_name(context.isa), " compute ", static_cast<int>(compute));
      for (const bool bf16 : {false, true}) {
        std::vector<float> state = normal_values(rows * LayerProgram::kHidden, 32);
        if (bf16) out = {halves.data(), DType::kBF16, rows, LayerProgram::kNext, LayerProgram::kNext};
        const Matrix matrices[] = {matrix_of(attention, rows, LayerProgram::kHidden),
                                   matrix_of(state, rows, LayerProgram::kHidden), out};
        const Status status = run_rows_cpu(context, layer.program, matrices, rows);
        const bool refused = bf16 && !stores;
        check_status(status, refused ? Code::kInvalidArgument : Code::kOk, refused ? "matrices" : "", name);
      }
      if (!stores) continue;
      const auto rounds_to = [](float value, uint16_t half) { return float_to_bf16(value) == half; };
      check(std::equal(qkv.begin(), qkv.end(), halves.begin(), rounds_to), name + ": bf16 of other numbers");
    }
  }
}

/** A gated feed-forward of so many columns that blocks of rows take it in chunks has the bits of one whose
 * columns are shared. */
void test_chunks_of_glu() {
  constexpr int64_t kColumns = 64;
  const int64_t rows = 40;
  const LinearCase up{.rows = rows,
                      .in_features = kColumns,
                      .parts = {1600, 1600},
                      .glu = true,
                      .activation = Activation::kGeluErf,
                      .compute = ComputeType::kBF16};
  const LinearCase down{.in_features = 1600, .parts = {kColumns}, .compute = ComputeType::kBF16};
  const LinearData up_data(up, 41);
  const LinearData down_data(down, 42);
  for (CpuContext context : kernel_contexts(1)) {
    RowProgram program;
    const Slot inner = program.temporary(1600);
    const auto add = [&](const LinearData& data, const LinearCase& shape, Slot in, Slot out) {
      program.steps.push_back(LinearStep{pack_linear_cpu(context, data.source(shape)).value(), in, out,
                                         kNoSlot, shape.activation});
    };
    add(up_data, up, program.bound(0, kColumns), inner);
    add(down_data, down, inner, program.bound(1, kColumns));
    const auto& weight = *std::get<LinearStep>(program.steps.front()).weight;
    const ProductCosts costs{.tile_rows = dynamic_cast<const CpuLinearWeight&>(weight).kernel().tile_rows};
    std::vector<float> x = up_data.x;
    std::vector<float> results[2];
    for (const bool columns : {false, true}) {
      context.threads = columns ? 12 : 1;
      check(shares_columns(rows, context.threads, costs, context.caches) == columns,
            "the other way through the rows");
      std::vector<float>& out = results[columns];
      out.assign(x.size(), NAN);
      const Matrix matrices[] = {matrix_of(x, rows, kColumns), matrix_of(out, rows, kColumns)};
      const Status status = run_rows_cpu(context, program, matrices, rows);
      check(status.is_ok(), status.message());
    }
    check(results[0] == results[1], concat(isa_name(context.isa), " GLU in chunks: other bits"));
  }
}

void test_refusals() {
  const CpuContext context = contexts(1).back();
  const LinearCase shape{.rows = 4, .in_features = 8, .parts = {16}};
  LinearData data(shape, 5);
  const auto weight = pack_linear_cpu(context, data.source(shape)).value();
  std::vector<float> out(64);
  const Matrix in_matrix = matrix_of(data.x, 4, 8);
  const Matrix out_matrix = matrix_of(out, 4, 16);
  const auto run = [&](const RowProgram& program, std::vector<Matrix> matrices, int64_t rows) {
    return run_rows_cpu(context, program, matrices, rows);
  };
  const auto program_of = [&](int64_t in_cols, int64_t out_cols) {
    RowProgram program;
    const Slot in = program.bound(0, in_cols);
    program.steps.push_back(LinearStep{weight, in, program.bound(1, out_cols)});
    return program;
  };
  const RowProgram good = program_of(8, 16);
  check(run(good, {in_matrix, out_matrix}, 4).is_ok(), "a good program");
  check_status(run(good, {in_matrix, out_matrix}, -1), Code::kInvalidArgument, "rows", "negative rows");
  check_status(run(good, {in_matrix}, 4), Code::kInvalidArgument, "matrices", "a matrix short");
  check_status(run(good, {in_matrix, out_matrix}, 5), Code::kInvalidArgument, "matrices", "too few rows");
  Matrix half = in_matrix;
  half.dtype = DType::kBF16;
  check_status(run(good, {half, out_matrix}, 4), Code::kInvalidArgument, "matrices", "bf16 activations");
  check_status(run(program_of(8, 15), {in_matrix, out_matrix}, 4), Code::kInvalidArgument, "matrices",
               "columns of the matrix");
  RowProgram unlike = good;
  unlike.slots[1].cols = 15;
  Matrix narrow = out_matrix;
  narrow.cols = 15;
  check_status(run(unlike, {in_matrix, narrow}, 4), Code::kInvalidArgument, "program",
               "columns of the weight");
  RowProgram missing = good;
  std::get<LinearStep>(missing.steps[0]).residual = 9;
  check_status(run(missing, {in_matrix, out_matrix}, 4), Code::kInvalidArgument, "program", "no such slot");
  RowProgram bare;
  const Slot slot = bare.bound(0, 8);
  NormStep norm;
  norm.in = norm.out = slot;
  bare.steps.push_back(norm);
  check_status(run(bare, {in_matrix}, 4), Code::kInvalidArgument, "program", "a norm without gamma");
  if (context.isa.level > IsaLevel::kPortable) {
    const CpuContext lower = contexts(1).front();
    check_status(run_rows_cpu(lower, good, std::vector<Matrix>{in_matrix, out_matrix}, 4),
                 Code::kInvalidArgument, "program", "a weight of another instruction set");
  }
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  test::test_norms();
  test::test_l2_normalize();
  for (int64_t inner_columns : {192, 200}) {
    for (bool batch_invariant : {true, false}) {
      test::test_layer(ComputeType::kF32, inner_columns, 3e-6, batch_invariant);
      test::test_layer(ComputeType::kBF16, inner_columns, 1e-2, batch_invariant);
      test::test_layer(ComputeType::kI8, inner_columns, 3e-2, batch_invariant);
    }
    test::test_bound_inner(inner_columns);
  }
  // Blocks of rows take so many columns in three chunks, the last one shorter.
  test::test_layer(ComputeType::kBF16, 1600, 1e-2, true);
  test::test_chunks_of_glu();
  test::test_bf16_matrix();
  test::test_refusals();
  return test::finish();
}
