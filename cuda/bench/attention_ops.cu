// Attention over the batch by each strategy of the planner, in the batch's order and with it sorted
// (experiment E4: one group, groups in a row, groups over streams, one persistent launch).
#include <algorithm>

#include "cuda/attention/kernel_table.h"
#include "cuda/bench/setting.h"

namespace padless::cuda::bench {
namespace {

struct Strategy {
  std::string name;
  AttentionPlanOptions options;
  bool portable = false;  // by the kernels of every GPU
};

std::string strategy_name(AttentionStrategy strategy) {
  constexpr const char* kNames[] = {"single", "grouped", "persistent", "auto"};
  return kNames[static_cast<int>(strategy)];
}

std::string listed(const std::vector<int64_t>& edges, const char* between) {
  std::string list;
  for (const int64_t edge : edges) list += concat(list.empty() ? "" : between, edge);
  return list;
}

/** What engines do, one group, groups by every set of edges in a row and side by side, one persistent launch.
 */
std::vector<Strategy> strategies(bool disentangled, int64_t head_dim) {
  std::vector<Strategy> list = {{"auto", {.strategy = AttentionStrategy::kAuto}},
                                {"single", {.strategy = AttentionStrategy::kSingle, .streams = 1}},
                                {"persistent", {.strategy = AttentionStrategy::kPersistent, .streams = 1}}};
  if (disentangled) return list;
  list.push_back({"portable", {.strategy = AttentionStrategy::kAuto}, true});
  constexpr int kSets = 1 << std::size(kShortKeys);
  for (int set = 1; set < kSets; set++) {
    std::vector<int64_t> edges;
    for (size_t i = 0; i < std::size(kShortKeys); i++) {
      if ((set >> i & 1) != 0) edges.push_back(kShortKeys[i]);
    }
    if (!has_short_kernel(static_cast<int>(edges.back()), static_cast<int>(head_dim))) continue;
    for (const int streams : {1, 4}) {
      list.push_back({concat("grouped ", listed(edges, "/"), " on ", streams),
                      {.strategy = AttentionStrategy::kGrouped, .bucket_edges = edges, .streams = streams}});
    }
  }
  return list;
}

/** The plan in the words of scripts/attention-plans.mjs. */
std::string fields_of(const Strategy& strategy, bool sorted) {
  const AttentionPlanOptions& o = strategy.options;
  const bool grouped = o.strategy == AttentionStrategy::kGrouped;
  return concat(",\"strategy\":\"", strategy.portable ? "portable" : strategy_name(o.strategy),
                "\",\"edges\":[", grouped ? listed(o.bucket_edges, ",") : "", "],\"streams\":", o.streams,
                ",\"sorted\":", sorted ? "true" : "false");
}

Status bench_strategy(Setting& setting, Report& report, VarlenAttentionArgs args, const Strategy& strategy,
                      const std::vector<int32_t>& lengths, bool sorted) {
  std::vector<int32_t> sums{0};
  double pairs = 0;
  for (int32_t length : lengths) {
    sums.push_back(sums.back() + length);
    pairs += static_cast<double>(length) * length;
  }
  DeviceProperties device = setting.device();
  if (strategy.portable && device.runs_sm90a()) device.compute_capability = 80;
  auto plan = plan_attention(sums, args.shape, args.span, device, strategy.options);
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
              .name = concat(strategy.name, sorted ? ", sorted" : ", as given"),
              .seconds = seconds.value(),
              .flops = 2 * products * width * pairs,
              .bytes = 2.0 * 4 * width * static_cast<double>(setting.tokens()),
              .fields = fields_of(strategy, sorted)});
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
  for (const Strategy& strategy : strategies(disentangled, shape.head_dim())) {
    PADLESS_RETURN_IF_ERROR(bench_strategy(setting, report, args, strategy, setting.lengths(), false));
    PADLESS_RETURN_IF_ERROR(bench_strategy(setting, report, args, strategy, sorted, true));
  }
  return Status::ok();
}

}  // namespace padless::cuda::bench
