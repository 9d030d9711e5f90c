// plan_attention(): which kernel takes which tile of queries, in which order, on which stream.
#include <algorithm>
#include <cstdlib>

#include "cuda/attention/auto_plan.h"
#include "cuda/attention/kernel_table.h"
#include "cuda/attention/measured_plans.h"
#include "cuda/attention/sm90/kernel_table.h"
#include "cuda/checks.h"
#include "cuda/padless_cuda.h"

namespace padless::cuda {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int32_t>::max();

/** The kernels that a device has for a head dim. */
struct Kernels {
  bool sm90;
  int64_t head_dim;
  int sm_count;

  Kernels(const DeviceProperties& device, int64_t dim)
      : sm90(device.runs_sm90a() && sm90::has_head_dim(dim)),
        head_dim(dim),
        sm_count(std::max(1, device.sm_count)) {}

  bool has_short(int max_keys) const {
    return sm90 ? sm90::has_short_kernel(max_keys, head_dim)
                : has_short_kernel(max_keys, static_cast<int>(head_dim));
  }
  /** Keys of the smallest short kernel that holds `keys` keys, or of the one for any length. */
  int keys_for(int64_t keys) const {
    for (int max_keys : kShortKeys) {
      if (keys <= max_keys && has_short(max_keys)) return max_keys;
    }
    return kAnyKeys;
  }
  AttentionKernel of(int max_keys) const {
    return {max_keys, sm90 ? sm90::query_rows(max_keys) : query_rows(max_keys), sm90};
  }
  /** Blocks that the device holds at once; of the portable kernels only that for any length is counted. */
  int blocks(int max_keys) const {
    constexpr int kPortableBlocksPerSm = 2;  // what registers allow
    return sm_count * (sm90 ? sm90::blocks_per_sm(max_keys, head_dim) : kPortableBlocksPerSm);
  }
};

/** Keys that the tile of queries from `first` on looks at: what its time grows with. */
int64_t tile_cost(int64_t length, int64_t first, int64_t rows, const AttentionSpan& span) {
  const int64_t last = std::min(first + rows, length) - 1;
  const int64_t left = span.window_left < 0 ? kUnlimited : span.window_left;
  const int64_t right = span.causal ? 0 : span.window_right < 0 ? kUnlimited : span.window_right;
  return std::min(length, last + right + 1) - std::max<int64_t>(0, first - left);
}

/** Tiles of `rows` queries in sequences with low < length <= high, at most, whatever the batch. */
int64_t most_tiles(int64_t low, int64_t high, int64_t rows, const AttentionPlanOptions& options) {
  const int64_t sequences = std::min(options.sequence_capacity, options.token_capacity / (low + 1));
  // A sequence of n tokens has at most (n + rows - 1) / rows tiles.
  return high <= rows ? sequences : (options.token_capacity + sequences * (rows - 1)) / rows;
}

/** Adds the tiles of the sequences with low < length <= high as one group; costs fall, equal ones keep their
 * order. */
void add_group(AttentionPlan& plan, std::span<const int32_t> cu_seqlens, int64_t low, int64_t high,
               const Kernels& kernels, int max_keys, const AttentionSpan& span,
               const AttentionPlanOptions& options) {
  struct Costed {
    AttentionTile tile;
    int64_t cost;
  };
  std::vector<Costed> tiles;
  const AttentionKernel kernel = kernels.of(max_keys);
  const int rows = kernel.query_rows;
  for (size_t b = 0; b + 1 < cu_seqlens.size(); b++) {
    const int64_t length = cu_seqlens[b + 1] - cu_seqlens[b];
    if (length <= low || length > high) continue;
    for (int64_t first = 0; first < length; first += rows) {
      tiles.push_back(
          {{static_cast<int32_t>(b), static_cast<int32_t>(first)}, tile_cost(length, first, rows, span)});
    }
  }
  const auto wanted = static_cast<size_t>(most_tiles(low, high, rows, options));
  plan.tile_capacity += static_cast<int64_t>(wanted);
  if (tiles.empty()) return;
  std::ranges::stable_sort(tiles, std::ranges::greater{}, &Costed::cost);
  if (tiles.size() < wanted) tiles.resize(wanted, {kNoTile, 0});
  plan.groups.push_back({kernel, static_cast<int64_t>(plan.tiles.size()), static_cast<int64_t>(tiles.size()),
                         0, kernel.sm90 ? kernels.blocks(max_keys) : 0});
  for (const Costed& each : tiles) plan.tiles.push_back(each.tile);
}

Status check(std::span<const int32_t> cu_seqlens, const AttentionShape& shape,
             const AttentionPlanOptions& options) {
  PADLESS_CHECK(!cu_seqlens.empty() && cu_seqlens[0] == 0 && std::ranges::is_sorted(cu_seqlens),
                Code::kInvalidArgument, "cu_seqlens", "cu_seqlens must start at 0 and never decrease");
  PADLESS_CHECK(shape.heads > 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
                Code::kInvalidArgument, "kv_heads", shape.heads, " heads and ", shape.kv_heads,
                " key heads do not divide");
  PADLESS_CHECK(shape.head_dim > 0 && shape.head_dim <= kMaxAttentionHeadDim, Code::kUnsupported, "head_dim",
                "head dim ", shape.head_dim, "; at most ", kMaxAttentionHeadDim, " is supported");
  PADLESS_CHECK(std::ranges::is_sorted(options.bucket_edges) &&
                    (options.bucket_edges.empty() || options.bucket_edges.front() > 0),
                Code::kInvalidArgument, "bucket_edges", "bucket edges must be positive and ascend");
  PADLESS_CHECK(options.token_capacity >= 0 && options.sequence_capacity >= 0, Code::kInvalidArgument,
                "capacity", "a capacity of ", options.token_capacity, " tokens in ",
                options.sequence_capacity, " sequences");
  PADLESS_CHECK(options.streams >= 1, Code::kInvalidArgument, "streams", options.streams,
                " streams; at least 1");
  return Status::ok();
}

/** The options that `auto` stands for. */
AttentionPlanOptions chosen(AttentionPlanOptions options, const DeviceProperties& device,
                            const Kernels& kernels) {
  const AutoPlan plan = auto_plan(device, kernels.sm90, kMeasuredPlans);
  options.strategy = plan.strategy;
  options.streams = std::min(options.streams, plan.streams);
  options.bucket_edges.clear();
  for (const int64_t edge : plan.edges) {
    if (edge > 0 && kernels.keys_for(edge) != kAnyKeys) options.bucket_edges.push_back(edge);
  }
  return options;
}

}  // namespace

AutoPlan auto_plan(const DeviceProperties& device, bool sm90, std::span<const MeasuredPlan> measured) {
  const auto distance = [&](const MeasuredPlan& row) { return std::abs(row.sm_count - device.sm_count); };
  const MeasuredPlan* nearest = nullptr;
  for (const MeasuredPlan& row : measured) {
    if (row.compute_capability != device.compute_capability || sm90 != device.runs_sm90a()) continue;
    if (nearest == nullptr || distance(row) < distance(*nearest)) nearest = &row;
  }
  if (nearest != nullptr) return nearest->plan;
  return sm90 ? kSm90Guess : kPortableGuess;
}

Result<AttentionPlan> plan_attention(std::span<const int32_t> cu_seqlens, const AttentionShape& shape,
                                     const AttentionSpan& span, const DeviceProperties& device,
                                     const AttentionPlanOptions& asked) {
  PADLESS_RETURN_IF_ERROR(check(cu_seqlens, shape, asked));
  const Kernels kernels(device, shape.head_dim);
  const bool automatic = asked.strategy == AttentionStrategy::kAuto;
  const AttentionPlanOptions options = automatic ? chosen(asked, device, kernels) : asked;
  AttentionPlan plan;
  plan.strategy = options.strategy;
  if (plan.strategy == AttentionStrategy::kSingle || plan.strategy == AttentionStrategy::kPersistent) {
    add_group(plan, cu_seqlens, 0, kUnlimited, kernels, kAnyKeys, span, options);
    plan.persistent_blocks = kernels.blocks(kAnyKeys);
    return plan;
  }
  // The kernel follows from a sequence's own length, never from what else is in the batch: its bits stay.
  int64_t low = 0;
  for (const int64_t edge : options.bucket_edges) {
    add_group(plan, cu_seqlens, low, edge, kernels, kernels.keys_for(edge), span, options);
    low = edge;
  }
  add_group(plan, cu_seqlens, low, kUnlimited, kernels, kAnyKeys, span, options);
  // The longest bucket goes first and on the stream of the call.
  std::ranges::reverse(plan.groups);
  for (size_t i = 0; i < plan.groups.size(); i++)
    plan.groups[i].stream = static_cast<int>(i) % options.streams;
  plan.streams = std::max(1, std::min(options.streams, static_cast<int>(plan.groups.size())));
  return plan;
}

}  // namespace padless::cuda
