// The AMX kernels on tiles in plain C++: packing, tails, epilogue and order of sums, whatever the processor.
// Needs AVX-512 for the epilogue, and AVX512-BF16 for rounding rows.
#include "test/native/linear_case.h"

namespace padless::avx512 {
extern const GemmKernel f32_software_tile_kernel;
extern const GemmKernel bf16_software_tile_kernel;
extern const GemmKernel i8_software_tile_kernel;
}  // namespace padless::avx512

namespace padless::test {
namespace {

std::vector<LinearCase> cases(ComputeType compute) {
  std::vector<LinearCase> list;
  for (int64_t rows : {1, 15, 16, 17, 32, 33, 70}) {
    for (int64_t k : {1, 31, 64, 70, 129, 600}) {
      for (int64_t n : {1, 16, 31, 32, 33, 80}) {
        list.push_back({.rows = rows, .in_features = k, .parts = {n}, .residual = rows % 2 == 0});
      }
    }
  }
  list.push_back({.rows = 40, .in_features = 100, .parts = {50}, .activation = Activation::kGeluErf});
  list.push_back(
      {.rows = 40, .in_features = 100, .parts = {50, 50}, .glu = true, .activation = Activation::kSilu});
  list.push_back({.rows = 3, .in_features = 100, .parts = {1, 1}, .glu = true, .bias = false});
  for (LinearCase& shape : list) {
    shape.dtype = DType::kBF16;  // weights that bf16 holds exactly
    shape.compute = compute;
  }
  return list;
}

LinearData make_data(const LinearCase& shape, uint64_t salt) {
  LinearData data(shape, salt);
  data.x = store_as(DType::kBF16, data.x).values;
  return data;
}

/** Where a product stores bf16 instead of fp32. */
struct BF16Rows {
  char* memory;
  RowLayout layout;
};

uint16_t bf16_at(const BF16Rows& rows, int64_t row, int64_t column) {
  uint16_t value;
  std::memcpy(&value, rows.memory + rows.layout.offset(row, column * 2), sizeof value);
  return value;
}

/** What RowBlock does with a linear step, for the first `rows` rows, in portions of `portion_steps` if not 0.
 */
std::vector<float> run_tiles(const GemmKernel& kernel, const LinearCase& shape, const LinearData& data,
                             int64_t rows, int64_t block_steps, int64_t portion_steps = 0,
                             const BF16Rows* bf16 = nullptr) {
  const auto packed = pack_linear_for(kernel, 1, data.source(shape));
  check(packed.is_ok(), concat(shape.name(), ": ", packed.status().message()));
  const auto& weight = dynamic_cast<const CpuLinearWeight&>(*packed.value());
  const int64_t steps = weight.layout().steps();
  const RowLayout operand_rows{operand_bytes(kernel, steps) + kPieceBytes, kernel.rows_in_tiles};
  // NaN where nothing is written.
  std::vector<char> operand(static_cast<size_t>(whole_groups(rows) * operand_rows.stride), '\xff');
  std::vector<float> scale(static_cast<size_t>(rows));
  std::vector<int32_t> zero_point(scale.size());
  const int64_t columns = shape.out_features();
  std::vector<float> out(static_cast<size_t>(rows * columns), NAN);
  const int64_t panel_sums = (rows + kernel.tile_rows) * kernel.vectors * kernel.lanes;
  std::vector<float> sums(static_cast<size_t>(panel_sums * weight.layout().panels()), NAN);
  std::vector<char> scratch(static_cast<size_t>(kernel.scratch_bytes), '\xff');
  const int64_t portion = portion_steps > 0 ? portion_steps : steps;
  for (int64_t first = 0; first < steps; first += portion) {
    const int64_t count = std::min(portion, steps - first);
    kernel.convert_rows({.source = reinterpret_cast<const char*>(data.x.data() + first * kernel.group),
                         .source_rows = {shape.in_features * 4, false},
                         .begin = 0,
                         .end = rows,
                         .columns = std::min(count * kernel.group, shape.in_features - first * kernel.group),
                         .padded_columns = count * kernel.group,
                         .operand = operand.data(),
                         .operand_rows = operand_rows,
                         .scale = scale.data(),
                         .zero_point = zero_point.data()});
    for (int64_t panel = 0; panel < weight.layout().panels(); ++panel) {
      const int64_t column = weight.layout().first_column(panel);
      PanelTask task;
      weight.describe_panel(panel, task);
      task.panel += first * (weight.layout().panel_bytes(panel) / steps);
      task.steps = count;
      task.resumes = first > 0;
      task.finishes = first + count == steps;
      task.scratch = scratch.data();
      task.a = operand.data();
      task.a_rows = operand_rows;
      task.a_scale = scale.data();
      task.a_zero_point = zero_point.data();
      task.rows = rows;
      task.block_steps = block_steps;
      task.activation = shape.activation;
      task.residual = shape.residual ? data.residual.data() + column : nullptr;
      task.residual_stride = columns;
      task.out = out.data() + column;
      if (bf16) {
        task.bf16_rows = bf16->layout;
        task.bf16_out = bf16->memory + bf16->layout.piece_offset(column * 2);
      }
      task.out_stride = columns;
      task.accumulators = sums.data() + panel * panel_sums;
      kernel.multiply(task);
    }
  }
  return out;
}

constexpr int64_t kOneBlock = 1 << 20;

bool same_bits(const std::vector<float>& a, const std::vector<float>& b, size_t count) {
  return std::memcmp(a.data(), b.data(), count * sizeof(float)) == 0;
}

/** Rows alone and blocks of steps change nothing. */
void test_bits(const GemmKernel& kernel, const LinearCase& shape, const LinearData& data,
               const std::vector<float>& whole) {
  for (int64_t rows : {int64_t{1}, shape.rows / 2 + 1}) {
    for (int64_t block_steps : {int64_t{20}, kOneBlock}) {
      const std::vector<float> some = run_tiles(kernel, shape, data, rows, block_steps);
      check(same_bits(some, whole, some.size()), concat(kernel.name, " ", shape.name(), ": other bits for ",
                                                        rows, " rows, blocks of ", block_steps));
    }
  }
}

void test_bf16() {
  const GemmKernel& kernel = avx512::bf16_software_tile_kernel;
  uint64_t salt = 1000;
  for (const LinearCase& shape : cases(ComputeType::kBF16)) {
    const LinearData data = make_data(shape, salt += 100);
    const std::vector<float> got = run_tiles(kernel, shape, data, shape.rows, kOneBlock);
    const double error = relative_error(got, linear_case_reference(shape, data));
    const double exact = shape.activation == Activation::kGeluErf ? 2e-4 : 2e-6;
    const double limit = exact * (shape.rows * shape.out_features() < 40 ? 20 : 1);
    check(error <= limit, concat(kernel.name, " ", shape.name(), ": relative error ", error));
    test_bits(kernel, shape, data, got);
  }
}

/** As exact as fp32, whatever the size of the values, and the same bits in portions. */
void test_f32() {
  const GemmKernel& kernel = avx512::f32_software_tile_kernel;
  uint64_t salt = 1000;
  for (LinearCase shape : cases(ComputeType::kF32)) {
    shape.dtype = DType::kF32;
    LinearData data(shape, salt += 100);
    const float size = salt % 300 == 0 ? 1e30f : salt % 300 == 100 ? 1e-30f : 1.f;
    if (shape.activation == Activation::kNone && !shape.residual && !shape.glu) {
      for (float& value : data.x) value *= size;
    }
    const std::vector<float> got = run_tiles(kernel, shape, data, shape.rows, kOneBlock);
    const double error = relative_error(got, linear_case_reference(shape, data));
    const double limit = 1e-6 * (shape.rows * shape.out_features() < 40 ? 20 : 1);
    check(error <= limit, concat(kernel.name, " ", shape.name(), ": relative error ", error));
    test_bits(kernel, shape, data, got);
    const std::vector<float> portions = run_tiles(kernel, shape, data, shape.rows, kOneBlock, 64);
    check(same_bits(portions, got, got.size()),
          concat(kernel.name, " ", shape.name(), ": other bits in portions"));
  }
}

/** NaN and infinity spoil their own row, as NaN, and no other. */
void test_f32_not_finite() {
  const GemmKernel& kernel = avx512::f32_software_tile_kernel;
  const LinearCase shape{.rows = 40, .in_features = 70, .parts = {50}};
  LinearData data(shape, 5);
  const std::vector<float> clean = run_tiles(kernel, shape, data, shape.rows, kOneBlock);
  uint32_t bits = 0x7fffffff;  // the NaN that rounding up would carry over
  std::memcpy(&data.x[static_cast<size_t>(3 * shape.in_features + 1)], &bits, sizeof bits);
  data.x[static_cast<size_t>(20 * shape.in_features + 69)] = -INFINITY;
  const std::vector<float> got = run_tiles(kernel, shape, data, shape.rows, kOneBlock);
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t column = 0; column < 50; ++column) {
      const auto at = static_cast<size_t>(row * 50 + column);
      const bool as_it_should = row == 3 || row == 20 ? std::isnan(got[at]) : got[at] == clean[at];
      check(as_it_should, concat("row ", row, " beside a NaN: ", got[at]));
    }
  }
}

/** Rows of bf16 are the rounded results in both layouts, and nothing is written beside them. */
void test_bf16_rows(const GemmKernel& kernel, ComputeType compute) {
  uint64_t salt = 5000;
  for (LinearCase shape : cases(compute)) {
    if (shape.residual) continue;
    const LinearData data = make_data(shape, salt += 100);
    const std::vector<float> whole = run_tiles(kernel, shape, data, shape.rows, kOneBlock);
    const int64_t columns = static_cast<int64_t>(whole.size()) / shape.rows;
    for (bool tiled : {false, true}) {
      const RowLayout layout{(columns * 2 + kPieceBytes - 1) / kPieceBytes * kPieceBytes, tiled};
      std::vector<char> memory(static_cast<size_t>(whole_groups(shape.rows) * layout.stride), '\x5a');
      const BF16Rows rows{memory.data(), layout};
      run_tiles(kernel, shape, data, shape.rows, 20, 0, &rows);
      for (int64_t row = 0; row < whole_groups(shape.rows); ++row) {
        for (int64_t column = 0; column < layout.stride / 2; ++column) {
          const bool result = row < shape.rows && column < columns;
          const uint16_t right =
              result ? float_to_bf16(whole[static_cast<size_t>(row * columns + column)]) : 0x5a5a;
          const uint16_t got = bf16_at(rows, row, column);
          check(got == right, concat(kernel.name, " ", shape.name(), tiled ? " in tiles" : "", ": ", got,
                                     " for ", right, " in row ", row, ", column ", column));
        }
      }
    }
  }
}

/** Codes of rows of bf16 are those of the same values in fp32, in whatever layouts. */
void test_codes_of_bf16(const GemmKernel& kernel) {
  constexpr int64_t kRows = 37;
  for (int64_t columns : {1, 31, 64, 100, 333}) {
    const int64_t padded = (columns + 63) / 64 * 64;
    const std::vector<float> values =
        store_as(DType::kBF16, normal_values(kRows * columns, static_cast<uint64_t>(columns))).values;
    std::vector<std::vector<char>> operands;
    std::vector<std::vector<float>> scales;
    const auto convert = [&](const char* source, RowLayout source_rows, bool bf16, bool tiled) {
      const RowLayout layout{padded + kPieceBytes, tiled};
      std::vector<char> operand(static_cast<size_t>(whole_groups(kRows) * layout.stride), '\x5a');
      scales.emplace_back(kRows);
      std::vector<int32_t> zero_points(kRows);
      const ConversionTask task = {.source = source,
                                   .source_rows = source_rows,
                                   .begin = 0,
                                   .end = kRows,
                                   .columns = columns,
                                   .padded_columns = padded,
                                   .operand = operand.data(),
                                   .operand_rows = layout,
                                   .scale = scales.back().data(),
                                   .zero_point = zero_points.data()};
      (bf16 ? kernel.convert_bf16_rows : kernel.convert_rows)(task);
      std::vector<char> codes;
      for (int64_t row = 0; row < kRows; ++row) {
        for (int64_t column = 0; column < padded; ++column) {
          codes.push_back(operand[static_cast<size_t>(layout.offset(row, column))]);
        }
      }
      operands.push_back(codes);
    };
    convert(reinterpret_cast<const char*>(values.data()), {columns * 4, false}, false, false);
    convert(reinterpret_cast<const char*>(values.data()), {columns * 4, false}, false, true);
    for (bool tiled : {false, true}) {
      const RowLayout layout{(columns * 2 + kPieceBytes - 1) / kPieceBytes * kPieceBytes, tiled};
      std::vector<char> rows(static_cast<size_t>(whole_groups(kRows) * layout.stride), '\x7f');
      for (int64_t i = 0; i < kRows * columns; ++i) {
        const uint16_t value = float_to_bf16(values[static_cast<size_t>(i)]);
        std::memcpy(rows.data() + layout.offset(i / columns, i % columns * 2), &value, sizeof value);
      }
      convert(rows.data(), layout, true, true);
    }
    for (size_t i = 1; i < operands.size(); ++i) {
      check(operands[i] == operands[0] && scales[i] == scales[0],
            concat("codes of ", columns, " columns, layouts ", i));
    }
  }
}

/** One element that is not finite makes the scale of its row of bf16 NaN. */
void test_codes_not_finite(const GemmKernel& kernel) {
  constexpr int64_t kColumns = 70;
  const uint16_t not_finite[] = {0x7f80, 0xff80, 0x7fc0, 0xffc0, 0x7f81};
  for (const uint16_t element : not_finite) {
    for (const size_t column : {size_t{0}, size_t{33}, size_t{kColumns - 1}}) {
      std::vector<uint16_t> rows(2 * kColumns, 0xbf80);
      rows[column] = element;
      std::vector<char> operand(2 * 128);
      float scale[2];
      int32_t zero_point[2];
      kernel.convert_bf16_rows({.source = reinterpret_cast<const char*>(rows.data()),
                                .source_rows = {kColumns * 2, false},
                                .begin = 0,
                                .end = 2,
                                .columns = kColumns,
                                .padded_columns = 128,
                                .operand = operand.data(),
                                .operand_rows = {128, false},
                                .scale = scale,
                                .zero_point = zero_point});
      check(std::isnan(scale[0]) && std::abs(scale[1] * 255 - 1) < 1e-6 && zero_point[1] == 255,
            concat("codes of ", element, " in column ", column, ": scales ", scale[0], ", ", scale[1]));
    }
  }
}

/** The bits of the AVX-512 kernels. */
void test_int8(const CpuContext& context) {
  const GemmKernel& kernel = avx512::i8_software_tile_kernel;
  uint64_t salt = 1000;
  for (const LinearCase& shape : cases(ComputeType::kI8)) {
    LinearData data = make_data(shape, salt += 100);
    const std::vector<float> got = run_tiles(kernel, shape, data, shape.rows, kOneBlock);
    const auto weight = pack_linear_cpu(context, data.source(shape)).value();
    check(same_bits(got, run_linear(context, shape, data, weight, shape.rows), got.size()),
          concat(kernel.name, " ", shape.name(), ": other bits than without tiles"));
    test_bits(kernel, shape, data, got);
  }
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  CpuContext context = test::contexts(1).back();
  context.isa.amx_bf16 = context.isa.amx_int8 = false;
  if (!has_level(context.isa, IsaLevel::kAvx512)) {
    std::printf("SKIP tiles: the processor lacks AVX-512\n");
    return EXIT_SUCCESS;
  }
  test::test_f32();
  test::test_f32_not_finite();
  test::test_int8(context);
  test::test_codes_of_bf16(avx512::i8_software_tile_kernel);
  test::test_codes_not_finite(avx512::i8_software_tile_kernel);
  if (context.isa.avx512_bf16) {
    test::test_bf16();
    test::test_bf16_rows(avx512::bf16_software_tile_kernel, ComputeType::kBF16);
    test::test_bf16_rows(avx512::i8_software_tile_kernel, ComputeType::kI8);
  } else {
    std::printf("SKIP bf16 tiles: the processor lacks AVX512-BF16\n");
  }
  return test::finish();
}
