// The kernels that are bound by bytes: norms, embeddings, moves, heads, pooling.
#include <algorithm>
#include <numeric>
#include <random>

#include "cuda/bench/setting.h"

namespace padless::cuda::bench {
namespace {

constexpr double kBytes = 2;  // of bf16

std::vector<int32_t> prefix_sums(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> sums{0};
  for (int32_t length : lengths) sums.push_back(sums.back() + length);
  return sums;
}

Status measure(Setting& setting, Report& report, Measurement m, const std::function<Status()>& enqueue) {
  auto seconds = setting.measure(enqueue);
  PADLESS_RETURN_IF_ERROR(seconds.status());
  m.seconds = seconds.value();
  report.add(m);
  return Status::ok();
}

Status bench_embed(Setting& setting, Report& report) {
  constexpr int64_t kVocabulary = 30522;
  const int64_t tokens = setting.tokens(), hidden = setting.options().shape.hidden;
  auto word = setting.random(DType::kBF16, kVocabulary, hidden),
       position = setting.random(DType::kBF16, setting.options().max_length, hidden),
       out = setting.random(DType::kBF16, tokens, hidden);
  for (const auto* each : {&word, &position, &out}) PADLESS_RETURN_IF_ERROR(each->status());
  std::mt19937 random(3);
  std::vector<int32_t> ids, positions;
  for (int32_t length : setting.lengths()) {
    for (int32_t i = 0; i < length; i++) {
      ids.push_back(static_cast<int32_t>(random() % kVocabulary));
      positions.push_back(i);
    }
  }
  auto device_ids = setting.upload(ids), device_positions = setting.upload(positions);
  auto gamma = setting.random_vector(hidden);
  PADLESS_RETURN_IF_ERROR(device_ids.status());
  PADLESS_RETURN_IF_ERROR(device_positions.status());
  PADLESS_RETURN_IF_ERROR(gamma.status());
  EmbedNormArgs args;
  args.word = word.value();
  args.position = position.value();
  args.ids = device_ids.value();
  args.positions = device_positions.value();
  args.gamma = gamma.value();
  args.out = out.value();
  const double cells = static_cast<double>(tokens * hidden);
  return measure(
      setting, report,
      {.op = "embed_norm", .name = "word + position", .flops = 8 * cells, .bytes = 2 * kBytes * cells},
      [&] { return embed_norm(args, setting.stream()); });
}

}  // namespace

Status bench_rows(Setting& setting, Report& report, const std::string& op) {
  if (op == "embed_norm") return bench_embed(setting, report);
  const LayerShape& shape = setting.options().shape;
  const int64_t tokens = setting.tokens(), hidden = shape.hidden,
                batch = static_cast<int64_t>(setting.lengths().size());
  const double cells = static_cast<double>(tokens * hidden);
  auto in = setting.random(DType::kBF16, tokens, hidden), out = setting.random(DType::kBF16, tokens, hidden);
  auto vector = setting.random_vector(hidden);
  PADLESS_RETURN_IF_ERROR(in.status());
  PADLESS_RETURN_IF_ERROR(out.status());
  PADLESS_RETURN_IF_ERROR(vector.status());
  if (op == "residual_norm") {
    ResidualNormArgs args;
    args.in = in.value();
    args.gamma = args.beta = vector.value();
    args.out = out.value();
    PADLESS_RETURN_IF_ERROR(
        measure(setting, report, {.op = op, .name = "layer", .flops = 8 * cells, .bytes = 2 * kBytes * cells},
                [&] { return residual_norm(args, setting.stream()); }));
    args.bias = vector.value();
    args.residual = out.value();
    return measure(
        setting, report,
        {.op = op, .name = "bias + residual + layer", .flops = 9 * cells, .bytes = 3 * kBytes * cells},
        [&] { return residual_norm(args, setting.stream()); });
  }
  if (op == "gather_rows") {
    std::vector<int32_t> index(static_cast<size_t>(tokens));
    std::iota(index.begin(), index.end(), 0);
    std::ranges::shuffle(index, std::mt19937(5));
    auto device_index = setting.upload(index);
    PADLESS_RETURN_IF_ERROR(device_index.status());
    return measure(setting, report, {.op = op, .name = "all rows, shuffled", .bytes = 2 * kBytes * cells},
                   [&] {
                     return gather_rows({in.value(), out.value(), device_index.value()}, setting.stream());
                   });
  }
  if (op == "head_norm") {
    const HeadNormArgs args{
        .data = in.value(), .heads = shape.heads, .head_dim = shape.head_dim(), .gamma = vector.value()};
    return measure(
        setting, report,
        {.op = op, .name = concat(shape.heads, " heads"), .flops = 4 * cells, .bytes = 2 * kBytes * cells},
        [&] { return head_norm(args, setting.stream()); });
  }
  if (op == "rope") {
    const int64_t rotary = shape.head_dim() / 2 * 2;
    auto table = setting.random(DType::kF32, tokens, rotary);
    PADLESS_RETURN_IF_ERROR(table.status());
    const RopeArgs args{.data = in.value(),
                        .table = table.value(),
                        .heads = shape.heads,
                        .head_dim = shape.head_dim(),
                        .rotary_dim = rotary};
    return measure(setting, report,
                   {.op = op,
                    .name = concat(shape.heads, " heads"),
                    .flops = 3 * cells,
                    .bytes = 2 * kBytes * cells + 4.0 * static_cast<double>(tokens * rotary)},
                   [&] { return rope(args, setting.stream()); });
  }
  auto sums = setting.upload(prefix_sums(setting.lengths()));
  auto pooled = setting.random(DType::kF32, batch, hidden);
  PADLESS_RETURN_IF_ERROR(sums.status());
  PADLESS_RETURN_IF_ERROR(pooled.status());
  const PoolRowsArgs args{PoolMode::kMean, in.value(), pooled.value(), sums.value()};
  return measure(setting, report,
                 {.op = op,
                  .name = "mean",
                  .flops = cells,
                  .bytes = kBytes * cells + 4.0 * static_cast<double>(batch * hidden)},
                 [&] { return pool_rows(args, setting.stream()); });
}

}  // namespace padless::cuda::bench
