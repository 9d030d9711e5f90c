// Embedding lookup against a double-precision reference.
#include "lib/engine/cpu/embed.h"

#include <cmath>
#include <cstring>

#include "lib/engine/cpu/memory.h"
#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

const DType kTableTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

struct Table {
  std::shared_ptr<const DeviceTensor> tensor;
  std::vector<double> values;  // after rounding to the table's dtype
};

Table make_table(int64_t rows, int64_t cols, DType dtype, uint64_t salt) {
  const std::vector<float> source = normal_values(rows * cols, salt);
  const HostTensor host = {source.data(), DType::kF32, {rows, cols}};
  Table table;
  table.tensor = create_cpu_tensor(std::make_shared<ByteCount>(), host, dtype, 2).take();
  for (float value : source) {
    if (dtype == DType::kF16) value = f16_to_float(float_to_f16(value));
    if (dtype == DType::kBF16) value = bf16_to_float(float_to_bf16(value));
    table.values.push_back(value);
  }
  return table;
}

struct Batch {
  std::vector<int32_t> ids, positions, types, cu_seqlens;
  PackedBatch view() const { return {ids, positions, types, cu_seqlens}; }
};

constexpr int64_t kVocab = 50;
constexpr int64_t kPositions = 40;
constexpr int64_t kTypes = 3;
constexpr int64_t kOffset = 2;

Batch make_batch(const std::vector<int32_t>& lengths, uint64_t salt) {
  std::mt19937_64 random = generator(salt);
  Batch batch;
  batch.cu_seqlens = prefix_sums(lengths);
  for (int32_t length : lengths) {
    for (int32_t t = 0; t < length; ++t) {
      batch.ids.push_back(static_cast<int32_t>(random() % kVocab));
      batch.positions.push_back(t);
      batch.types.push_back(static_cast<int32_t>(random() % kTypes));
    }
  }
  return batch;
}

std::vector<double> reference(const Batch& batch, const Table& word, const Table* position, const Table* type,
                              const std::vector<float>* gamma, const std::vector<float>* beta, NormKind kind,
                              double eps, int64_t cols) {
  std::vector<double> out(batch.ids.size() * cols);
  for (size_t t = 0; t < batch.ids.size(); ++t) {
    double* row = &out[t * cols];
    for (int64_t i = 0; i < cols; ++i) {
      row[i] = word.values[batch.ids[t] * cols + i];
      if (position) row[i] += position->values[(batch.positions[t] + kOffset) * cols + i];
      if (type) row[i] += type->values[(batch.types.empty() ? 0 : batch.types[t]) * cols + i];
    }
    if (!gamma) continue;
    double mean = 0;
    for (int64_t i = 0; i < cols; ++i) mean += kind == NormKind::kLayer ? row[i] / cols : 0;
    double variance = 0;
    for (int64_t i = 0; i < cols; ++i) variance += (row[i] - mean) * (row[i] - mean) / cols;
    for (int64_t i = 0; i < cols; ++i) {
      row[i] = (row[i] - mean) / std::sqrt(variance + eps) * (*gamma)[i] + (beta ? (*beta)[i] : 0);
    }
  }
  return out;
}

std::shared_ptr<const DeviceTensor> vector_tensor(const std::vector<float>& values) {
  const HostTensor host = {values.data(), DType::kF32, {static_cast<int64_t>(values.size())}};
  return create_cpu_tensor(std::make_shared<ByteCount>(), host, DType::kF32, 1).take();
}

void test_against_reference() {
  uint64_t salt = 0;
  for (int64_t cols : {1, 7, 16, 33, 96, 384, 769}) {
    for (DType dtype : kTableTypes) {
      for (int parts = 0; parts < 8; ++parts) {
        const bool with_position = parts & 1;
        const bool with_type = parts & 2;
        const NormKind kind = parts & 4 ? NormKind::kRms : NormKind::kLayer;
        Batch batch = make_batch({5, 0, 38, 1}, ++salt);
        if (parts == 3) batch.types.clear();
        const Table word = make_table(kVocab, cols, dtype, ++salt);
        const Table position = make_table(kPositions, cols, dtype, ++salt);
        const Table type = make_table(kTypes, cols, DType::kF32, ++salt);
        const std::vector<float> gamma = normal_values(cols, ++salt);
        const std::vector<float> beta = normal_values(cols, ++salt);
        const auto gamma_tensor = vector_tensor(gamma);
        const auto beta_tensor = vector_tensor(beta);
        const bool with_norm = parts != 2;
        const bool with_beta = with_norm && kind == NormKind::kLayer;
        const int64_t tokens = static_cast<int64_t>(batch.ids.size());
        const int64_t stride = cols + 5;
        const std::vector<double> expected =
            reference(batch, word, with_position ? &position : nullptr, with_type ? &type : nullptr,
                      with_norm ? &gamma : nullptr, with_beta ? &beta : nullptr, kind, 1e-5, cols);
        for (const CpuContext& context : contexts(3)) {
          std::vector<float> out(tokens * stride, 77.f);
          EmbedArgs args;
          args.word = word.tensor.get();
          if (with_position) args.position = position.tensor.get();
          args.position_offset = kOffset;
          if (with_type) args.token_type = type.tensor.get();
          if (with_norm) args.gamma = gamma_tensor.get();
          if (with_beta) args.beta = beta_tensor.get();
          args.norm = kind;
          args.eps = 1e-5f;
          args.out = {out.data(), DType::kF32, tokens, cols, stride};
          const std::string what =
              concat("cols ", cols, " ", dtype_name(dtype), " parts ", parts, " on ", isa_name(context.isa));
          check_status(embed_cpu(context, batch.view(), args), Code::kOk, "", what);
          for (int64_t t = 0; t < tokens; ++t) {
            for (int64_t i = 0; i < stride; ++i) {
              const double wanted = i < cols ? expected[t * cols + i] : 77.0;
              const double limit = i < cols ? 1e-5 * (1 + std::abs(wanted)) : 0;
              if (std::abs(out[t * stride + i] - wanted) <= limit) continue;
              check(false,
                    concat(what, ": [", t, ", ", i, "] is ", out[t * stride + i], ", expected ", wanted));
            }
          }
        }
      }
    }
  }
}

/** A mean far above the deviation: one-pass statistics would lose every digit of the variance. */
void test_large_mean() {
  const int64_t cols = 384;
  std::vector<float> rows = normal_values(cols, 5000);
  for (float& value : rows) value = 4000.f + value;
  const HostTensor host = {rows.data(), DType::kF32, {1, cols}};
  const auto word = create_cpu_tensor(std::make_shared<ByteCount>(), host, DType::kF32, 1).take();
  const auto gamma = vector_tensor(std::vector<float>(cols, 1.f));
  const std::vector<int32_t> ids = {0};
  const std::vector<int32_t> cu_seqlens = {0, 1};
  double mean = 0;
  double variance = 0;
  for (float value : rows) mean += double{value} / cols;
  for (float value : rows) variance += (value - mean) * (value - mean) / cols;
  for (const CpuContext& context : contexts(1)) {
    std::vector<float> out(cols);
    EmbedArgs args;
    args.word = word.get();
    args.gamma = gamma.get();
    args.out = matrix_of(out, 1, cols);
    check_status(embed_cpu(context, {ids, {}, {}, cu_seqlens}, args), Code::kOk, "", "large mean");
    for (int64_t i = 0; i < cols; ++i) {
      check(std::abs(out[i] - (rows[i] - mean) / std::sqrt(variance)) < 2e-3,
            "the norm cancels at a large mean");
    }
  }
}

void test_same_bits() {
  const int64_t cols = 200;
  const Table word = make_table(kVocab, cols, DType::kBF16, 6001);
  const auto gamma = vector_tensor(normal_values(cols, 6002));
  const Batch batch = make_batch({300, 411, 2}, 6003);
  const int64_t tokens = static_cast<int64_t>(batch.ids.size());
  for (const CpuContext& context : contexts(1)) {
    std::vector<float> first;
    for (int threads = 1; threads <= 4; ++threads) {
      CpuContext wider = context;
      wider.threads = threads;
      std::vector<float> out(tokens * cols);
      EmbedArgs args;
      args.word = word.tensor.get();
      args.gamma = gamma.get();
      args.out = matrix_of(out, tokens, cols);
      check_status(embed_cpu(wider, batch.view(), args), Code::kOk, "", "same bits");
      if (first.empty()) first = out;
      check(std::memcmp(first.data(), out.data(), out.size() * sizeof(float)) == 0,
            concat("other bits with ", threads, " threads"));
    }
  }
}

void test_refusals() {
  const int64_t cols = 8;
  const Table word = make_table(kVocab, cols, DType::kF32, 7001);
  const Table position = make_table(kPositions, cols, DType::kF32, 7002);
  const Table type = make_table(kTypes, cols, DType::kF32, 7003);
  const Table wide = make_table(4, cols + 1, DType::kF32, 7004);
  const auto gamma = vector_tensor(normal_values(cols, 7005));
  std::vector<float> out(9 * cols);
  const auto refused = [&](const std::string& field, const std::string& fragment, const auto& spoil) {
    Batch batch = make_batch({4, 5}, 7006);
    EmbedArgs args;
    args.word = word.tensor.get();
    args.position = position.tensor.get();
    args.token_type = type.tensor.get();
    args.gamma = gamma.get();
    args.out = matrix_of(out, 9, cols);
    spoil(batch, args);
    const Status status = embed_cpu(contexts(1).back(), batch.view(), args);
    check_status(status, Code::kInvalidArgument, field, concat("bad ", field));
    check(status.message().find(fragment) != std::string::npos,
          concat("\"", status.message(), "\" does not say \"", fragment, "\""));
  };
  refused("ids", "ids[7] is 50", [](Batch& batch, EmbedArgs&) { batch.ids[7] = kVocab; });
  refused("ids", "ids[0] is -1", [](Batch& batch, EmbedArgs&) { batch.ids[0] = -1; });
  refused("positions", "positions[8] is 40",
          [](Batch& batch, EmbedArgs&) { batch.positions[8] = kPositions; });
  refused("positions", "row 40 with", [](Batch&, EmbedArgs& args) { args.position_offset = kPositions; });
  refused("tokenTypes", "tokenTypes[2] is 3", [](Batch& batch, EmbedArgs&) { batch.types[2] = kTypes; });
  refused("word", "word", [](Batch&, EmbedArgs& args) { args.word = nullptr; });
  refused("position", "9 columns", [&](Batch&, EmbedArgs& args) { args.position = wide.tensor.get(); });
  refused("out", "out is [8, 8]", [](Batch&, EmbedArgs& args) { args.out.rows = 8; });
  refused("out", "f16", [](Batch&, EmbedArgs& args) { args.out.dtype = DType::kF16; });
  refused("beta", "gamma", [&](Batch&, EmbedArgs& args) {
    args.beta = gamma.get();
    args.gamma = nullptr;
  });
}

void test_empty() {
  const Table word = make_table(kVocab, 8, DType::kF32, 8001);
  for (const std::vector<int32_t>& lengths : {std::vector<int32_t>{}, {0, 0}}) {
    const Batch batch = make_batch(lengths, 8002);
    EmbedArgs args;
    args.word = word.tensor.get();
    args.out = {nullptr, DType::kF32, 0, 8, 8};
    check_status(embed_cpu(contexts(2).back(), batch.view(), args), Code::kOk, "", "no tokens");
  }
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_against_reference();
  test_large_mean();
  test_same_bits();
  test_refusals();
  test_empty();
  return finish();
}
