// Attention over the batch by each strategy of the planner, in the batch's order and with it sorted
// (experiment E4: one group, groups in a row, groups over streams, one persistent launch).
#include <algorithm>

#include "cuda/bench/setting.h"

namespace padless::cuda::bench {
namespace {

struct Strategy {
  const char* name;
  AttentionPlanOptions options;
};

const Strategy kStrategies[] = {
    {"single", {.strategy = AttentionStrategy::kSingle}},
    {"grouped, 1 stream", {.strategy = AttentionStrategy::kGrouped, .streams = 1}},
    {"grouped, 4 streams", {.strategy = AttentionStrategy::kGrouped, .streams = 4}},
    {"persistent", {.strategy = AttentionStrategy::kPersistent}},
    {"auto", {.strategy = AttentionStrategy::kAuto}},
};

Status bench_strategy(Setting& setting, Report& report, VarlenAttentionArgs args, const Strategy& strategy,
                      const std::vector<int32_t>& lengths, const char* order) {
  std::vector<int32_t> sums{0};
  double pairs = 0;
  for (int32_t length : lengths) {
    sums.push_back(sums.back() + length);
    pairs += static_cast<double>(length) * length;
  }
  auto plan = plan_attention(sums, args.shape, args.span, setting.device(), strategy.options);
  PADLESS_RETURN_IF_ERROR(plan.status());
  auto tiles = setting.upload(plan.value().tiles);
  auto device_sums = setting.upload(sums);
  auto counter = setting.upload(std::vector<uint32_t>{0});
  PADLESS_RETURN_IF_ERROR(tiles.status());
  PADLESS_RETURN_IF_ERROR(device_sums.status());
  PADLESS_RETURN_IF_ERROR(counter.status());
  auto streams = AttentionStreams::create(plan.value().streams);
  PADLESS_RETURN_IF_ERROR(streams.status());
  args.cu_seqlens = device_sums.value();
  auto seconds = setting.measure([&] {
    return varlen_attention(args, plan.value(), {tiles.value(), counter.value(), &streams.value()},
                            setting.stream());
  });
  PADLESS_RETURN_IF_ERROR(seconds.status());
  const double width = static_cast<double>(args.shape.heads * args.shape.head_dim);
  const double products = args.bias.disentangled() ? 4 : 2;  // of queries and keys with their partners
  report.add({.op = args.bias.disentangled() ? "disentangled" : "attention",
              .name = concat(strategy.name, ", ", order),
              .seconds = seconds.value(),
              .flops = 2 * products * width * pairs,
              .bytes = 2.0 * 4 * width * static_cast<double>(setting.tokens())});
  return Status::ok();
}

}  // namespace

Status bench_attention(Setting& setting, Report& report, bool disentangled) {
  const LayerShape& shape = setting.options().shape;
  if (std::ranges::find(kAttentionHeadDims, shape.head_dim()) == std::end(kAttentionHeadDims)) {
    report.skip(disentangled ? "disentangled" : "attention",
                concat("no kernel for head dim ", shape.head_dim()));
    return Status::ok();
  }
  const int64_t hidden = shape.hidden;
  auto qkv = setting.random(DType::kBF16, setting.tokens(), 3 * hidden),
       out = setting.random(DType::kBF16, setting.tokens(), hidden);
  PADLESS_RETURN_IF_ERROR(qkv.status());
  PADLESS_RETURN_IF_ERROR(out.status());
  VarlenAttentionArgs args;
  args.shape = {shape.heads, shape.heads, shape.head_dim()};
  args.q = qkv.value().columns(0, hidden);
  args.k = qkv.value().columns(hidden, hidden);
  args.v = qkv.value().columns(2 * hidden, hidden);
  args.out = out.value();
  args.scale = 0.125f;
  if (disentangled) {
    constexpr int32_t kReach = 256;  // DeBERTa-v3's buckets, one a distance
    auto keys = setting.random(DType::kBF16, 2 * kReach + 1, hidden),
         queries = setting.random(DType::kBF16, 2 * kReach + 1, hidden);
    PADLESS_RETURN_IF_ERROR(keys.status());
    PADLESS_RETURN_IF_ERROR(queries.status());
    std::vector<int32_t> rows;
    for (int32_t d = 0; d <= 2 * kReach; d++) rows.push_back(d);
    auto device_rows = setting.upload(rows);
    PADLESS_RETURN_IF_ERROR(device_rows.status());
    args.bias.position_keys = keys.value();
    args.bias.position_queries = queries.value();
    args.bias.relative_rows = device_rows.value();
    args.bias.reach = kReach;
  }
  auto sorted = setting.lengths();
  std::ranges::sort(sorted, std::ranges::greater{});
  for (const Strategy& strategy : kStrategies) {
    PADLESS_RETURN_IF_ERROR(bench_strategy(setting, report, args, strategy, setting.lengths(), "as given"));
    PADLESS_RETURN_IF_ERROR(bench_strategy(setting, report, args, strategy, sorted, "sorted"));
  }
  return Status::ok();
}

}  // namespace padless::cuda::bench
