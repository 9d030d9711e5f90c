// The launch API of the CUDA kernels: plain structs and functions; with padless_experts.h and runtime.h all
// of cuda/ that lib/ includes.
//
// Every function checks its arguments on the host, enqueues on `stream` and returns: no synchronisation, no
// allocation, no host read of device memory. A Status other than ok means that nothing was enqueued.
//   E_INVALID_ARGUMENT  a shape, pointer or dtype that contradicts the others
//   E_UNSUPPORTED       understood, but no kernel here computes it; the message lists what exists
//   E_DEVICE            the CUDA runtime refused the launch
// All pointers are device memory unless a comment says host. Matrices are row-major views with a stride in
// elements. Any base address and stride is legal; 16-byte aligned rows take the fast path. Storage is bf16,
// f16 or, where a comment says so, f32; sums, statistics and softmax are always f32. Per-column vectors
// (bias, gamma, beta) are f32.
//
// `rows_on_device`, where given, holds the true number of rows (at most Matrix::rows): rows past it are
// neither read nor written, so that a captured graph of some capacity serves every smaller batch.
//
// On a stream whose launches overlap (LaunchStream::overlaps) a kernel begins before the one ahead of it has
// ended, and takes its place in the stream's order inside. linear() has read rows_on_device and some of the
// weight by then: between what writes those and it there must be a copy or a launch that does not overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cuda/runtime.h"
#include "lib/core/matrix.h"
#include "lib/core/status.h"
#include "lib/engine/attention_strategy.h"
#include "lib/engine/engine.h"

namespace padless::cuda {

/** What launch choices depend on; device_properties() fills it in. */
struct DeviceProperties {
  int sm_count = 0;
  int compute_capability = 0;         // 80, 86, 89, 90, ...
  size_t shared_bytes_per_block = 0;  // the most a block may opt in to
  size_t shared_bytes_per_sm = 0;
  int registers_per_sm = 0;

  /** Kernels launched on it may overlap: it has compute capability 9.0 or later, and code compiled for that.
   * PTX of an earlier one waits for nothing. */
  bool can_overlap = false;

  /** Whether it runs the kernels of the sm90 folders, which sm_90a alone has instructions for. */
  bool runs_sm90a() const { return compute_capability == 90; }
};
Result<DeviceProperties> device_properties(int device);

// ---- packing: a [B, S] mask becomes a packed batch, without a host round trip

struct PackingIndexArgs {
  const void* mask = nullptr;      // [B, S], contiguous; not 0: a token. Holes are legal
  DType mask_dtype = DType::kU8;   // kU8, kI8, kI32, kI64 or kF32
  int64_t batch = 0;               // B
  int64_t length = 0;              // S; B * S < 2^31
  int32_t* cu_seqlens = nullptr;   // out [B + 1]
  int32_t* token_index = nullptr;  // out [B * S], of which T are written: b * S + s of each token
  int32_t* positions = nullptr;    // out [B * S], of which T are written: s of each token; or null
  int32_t* packed_row =
      nullptr;  // out [B * S]: the packed row of each element, -1 where there is none; or null
  int32_t* workspace = nullptr;  // packing_index_workspace_bytes(B, S)
};
size_t packing_index_workspace_bytes(int64_t batch, int64_t length);
Status packing_index(const PackingIndexArgs& args, LaunchStream stream);

/** out[t] = in[token_index[t]] for t < *rows_on_device; in: [B * S, H], out: [capacity, H]. Also f32. */
struct PackRowsArgs {
  Matrix in, out;
  const int32_t* token_index = nullptr;     // [out.rows]
  const int32_t* rows_on_device = nullptr;  // such as cu_seqlens + B; or null: out.rows
};
Status pack_rows(const PackRowsArgs& args, LaunchStream stream);

/** out[i] = in[packed_row[i]], zeros where packed_row[i] is -1; in: [T, H], out: [B * S, H]. Also f32. */
struct UnpackRowsArgs {
  Matrix in, out;
  const int32_t* packed_row = nullptr;  // [out.rows]
};
Status unpack_rows(const UnpackRowsArgs& args, LaunchStream stream);

/** out[i] = in[indices[i]], zeros for a negative index, converted where the dtypes differ. Also f32. */
struct GatherRowsArgs {
  Matrix in, out;
  const int32_t* indices = nullptr;  // [out.rows]
};
Status gather_rows(const GatherRowsArgs& args, LaunchStream stream);

/** out = in, converted to out's dtype, rounded to nearest even. bf16, f16 or f32 on either side. */
struct CastRowsArgs {
  Matrix in, out;
  const int32_t* rows_on_device = nullptr;
};
Status cast_rows(const CastRowsArgs& args, LaunchStream stream);

// ---- rows: at most kMaxNormColumns columns

inline constexpr int64_t kMaxNormColumns = 16384;

/** out[t] = norm(word_scale * word[ids[t]] + position[positions[t] + offset] + token_type[token_types[t]]);
 * no norm without gamma. */
struct EmbedNormArgs {
  Matrix word;                           // [vocab, H]; each table is f32, bf16 or f16
  float word_scale = 1;                  // sqrt(H) for Gemma
  Matrix position;                       // [positions, H]; data == nullptr: none
  Matrix token_type;                     // [types, H]; data == nullptr: none
  const int32_t* ids = nullptr;          // [T]; like positions and types, checked by the caller, clamped here
  const int32_t* positions = nullptr;    // [T], needed with a position table
  const int32_t* token_types = nullptr;  // [T]; null: all 0
  int64_t position_offset = 0;
  NormKind kind = NormKind::kLayer;
  const float* gamma = nullptr;  // [H]; null: no norm
  const float* beta = nullptr;   // [H], or null
  float eps = 1e-12f;
  Matrix out;  // [T, H], f32, bf16 or f16
  const int32_t* rows_on_device = nullptr;
};
Status embed_norm(const EmbedNormArgs& args, LaunchStream stream);

/** sum = in + bias + residual; out = norm(sum) + add. Each row is read once and written once. Also f32. */
struct ResidualNormArgs {
  Matrix in;                    // [T, H]
  Matrix residual;              // [T, H], in's dtype; data == nullptr: none
  const float* bias = nullptr;  // [H], or null
  NormKind kind = NormKind::kLayer;
  const float* gamma = nullptr;  // [H]
  const float* beta = nullptr;   // [H], or null
  float eps = 1e-12f;
  Matrix add;  // [T, H], in's dtype: added to the normalised row; data == nullptr: none
  Matrix out;  // [T, H], in's dtype; may be `in`, `residual` or `add`
  Matrix sum;  // [T, H], in's dtype: what a pre-norm layer carries on; data == nullptr: not wanted
  const int32_t* rows_on_device = nullptr;
};
Status residual_norm(const ResidualNormArgs& args, LaunchStream stream);

/** Largest head dim of head_norm. */
inline constexpr int64_t kMaxHeadNormDim = 256;

/** RMS norm of each head of a row, in place: x / sqrt(mean(x^2) + eps) * gamma (Qwen3's q_norm, k_norm). Also
 * f32. */
struct HeadNormArgs {
  Matrix data;  // [T, heads * head_dim], such as columns of a [T, ...] q, k and v
  int64_t heads = 0;
  int64_t head_dim = 0;          // at most kMaxHeadNormDim
  const float* gamma = nullptr;  // [head_dim]
  float eps = 1e-6f;
  const int32_t* rows_on_device = nullptr;
};
Status head_norm(const HeadNormArgs& args, LaunchStream stream);

/**
 * Rotates each head of a row in place (RoFormer, arXiv:2104.09864): with r = rotary_dim / 2, columns i and
 * i + r of a head (interleaved: 2i and 2i + 1) turn by the angle whose cosine and sine are columns i and r +
 * i of the table; columns from rotary_dim on stay. Also f32.
 */
struct RopeArgs {
  Matrix data;   // [T, heads * head_dim], such as columns of a [T, ...] q, k and v
  Matrix table;  // f32 [T, rotary_dim]: row t is that of token t's position
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t rotary_dim = 0;  // even, at most head_dim
  bool interleaved = false;
  const int32_t* rows_on_device = nullptr;
};
Status rope(const RopeArgs& args, LaunchStream stream);

/** out = in / max(|in|_2, eps), as torch.nn.functional.normalize. Also f32. */
struct L2NormalizeArgs {
  Matrix in;   // [rows, H]
  Matrix out;  // [rows, H], in's dtype; may be `in`
  float eps = 1e-12f;
  const int32_t* rows_on_device = nullptr;
};
Status l2_normalize(const L2NormalizeArgs& args, LaunchStream stream);

/**
 * One row a sequence. An empty sequence pools to zeros. With `skip`, cls is the first token that counts, and
 * weights of the weighted mean go on counting from the sequence's first token; if every token is skipped, cls
 * is token 0, max is -inf and all others are 0. Also f32.
 */
struct PoolRowsArgs {
  PoolMode mode = PoolMode::kMean;
  Matrix in;                                // [T, H]
  Matrix out;                               // f32 [B, H]
  const int32_t* cu_seqlens = nullptr;      // [B + 1], clamped here to in's rows
  const int32_t* skip = nullptr;            // [B] leading tokens that do not count, or null
  const int32_t* rows_on_device = nullptr;  // of `out`: sequences
};
Status pool_rows(const PoolRowsArgs& args, LaunchStream stream);

/** out = in / scale by rows, rounded to e4m3, where the largest magnitude of a row becomes 448, the largest
 * of e4m3. Rows of zeros become zeros; NaN and infinity make NaN, in the products of their own row alone. in:
 * bf16, f16 or f32. Compute capability 9.0. */
struct QuantizeRowsArgs {
  Matrix in;                // [M, K], K at most kMaxNormColumns
  Matrix out;               // e4m3 [M, K]
  float* scales = nullptr;  // out [M]
  const int32_t* rows_on_device = nullptr;
};
Status quantize_rows(const QuantizeRowsArgs& args, const DeviceProperties& device, LaunchStream stream);

// ---- linear layers

/** out = activation(in weight^T + bias) + residual; with `glu`, activation(gate) * up of an interleaved
 * weight; with `residual_first`, activation(in weight^T + bias + residual).
 *
 * e4m3 operands, as quantize_rows() makes them of both, come with their scales, and the product is multiplied
 * by in_scales[row] * weight_scales[column]. Their kernels are those of compute capability 9.0 and take
 * 16-byte aligned rows; the plan of any other call is E_UNSUPPORTED. */
struct LinearArgs {
  Matrix in;                    // [M, K]; also e4m3
  Matrix weight;                // [N, K], in's dtype; with glu: [2 * round_up(N, 8), K], see glu_source_row
  const float* bias = nullptr;  // [weight.rows], interleaved as the weight; or null
  Activation activation = Activation::kNone;
  bool glu = false;
  Matrix residual;  // [M, N], in's dtype, for e4m3 bf16 or f16; data == nullptr: none; may be `out`
  Matrix out;       // [M, N], residual's dtype or f32
  const int32_t* rows_on_device = nullptr;
  bool residual_first = false;           // needs a residual, and no glu
  const float* in_scales = nullptr;      // e4m3: [M]
  const float* weight_scales = nullptr;  // e4m3: [weight.rows]
};

/** Row of the stacked [gate; up] weight (each [n, K]) that row `row` of the interleaved one holds; -1: zeros.
 */
int64_t glu_source_row(int64_t row, int64_t n);

enum class GemmKernel {
  kPortable,    // every GPU; takes any alignment and f32
  kPersistent,  // sm_90a: a grid of as many blocks as SMs
  kSwapped,     // sm_90a, few rows: the weight in place of the rows
};

/** How a linear layer is launched: a kernel and its tile shape, and in how many parts K is split. */
struct GemmPlan {
  int tile = -1;  // an index into the kernel's table of tiles; -1: the portable kernel without tensor cores
  int splits = 1;
  GemmKernel kernel = GemmKernel::kPortable;
  int blocks = 0;  // of a persistent grid; 0: one a tile
};
struct GemmPlanOptions {
  bool split_k = true;  // false: a row's bits do not depend on how many rows there are
};
/** Enumerates the legal configurations and takes the one with the least estimated time. */
GemmPlan plan_gemm(const LinearArgs& args, const DeviceProperties& device,
                   const GemmPlanOptions& options = {});
/** A legal configuration, and the clock cycles that it is expected to take. */
struct RatedGemmPlan {
  GemmPlan plan;
  double cycles;
};
/** All of those that plan_gemm chooses from, to measure them; none for the kernel without tensor cores. */
std::vector<RatedGemmPlan> gemm_plans(const LinearArgs& args, const DeviceProperties& device,
                                      const GemmPlanOptions& options = {});
/** Bytes of workspace that the plan needs: 0 without split-K. */
size_t linear_workspace_bytes(const LinearArgs& args, const GemmPlan& plan);
Status linear(const LinearArgs& args, const GemmPlan& plan, void* workspace, LaunchStream stream);

// ---- attention

/** Those of the tensor core kernels; simt_attention takes every head dim up to the largest. */
inline constexpr int kAttentionHeadDims[] = {32, 64, 96, 128, 256};
inline constexpr int64_t kMaxAttentionHeadDim = 256;

/**
 * What is added to the scores; with d = clamp(i - j, -reach, reach) for query i and key j of a sequence:
 *   ALiBi         -alibi_slopes[head] * |i - j|
 *   relative      relative[head][reach - d]
 *   disentangled  scale * (q . position_keys[row, head] + k . position_queries[row, head]) where row =
 *                 relative_rows[d + reach] (DeBERTa, arXiv:2006.03654, equation 4); either may be absent
 */
struct ScoreBias {
  const float* alibi_slopes = nullptr;     // [heads], or null
  const float* relative = nullptr;         // [heads, 2 * reach + 1], or null; buckets expanded to distances
  Matrix position_keys, position_queries;  // [rows, heads * head_dim], q's dtype; data == nullptr: none
  const int32_t* relative_rows = nullptr;  // [2 * reach + 1], clamped to the tables here
  int32_t reach = 0;

  bool disentangled() const { return position_keys.data != nullptr || position_queries.data != nullptr; }
};

struct VarlenAttentionArgs {
  AttentionShape shape;    // head_dim is one of kAttentionHeadDims
  Matrix q;                // [T, heads * head_dim]
  Matrix k, v;             // [T, kv_heads * head_dim], q's dtype; all three may be views of one [T, ...]
  Matrix out;              // [T, heads * head_dim], q's dtype
  float* lse = nullptr;    // [heads, lse_stride]: log of the softmax denominator, -inf for none; or null
  int64_t lse_stride = 0;  // at least T
  const int32_t* cu_seqlens = nullptr;  // [B + 1], clamped here to q's rows
  const int32_t* key_counts =
      nullptr;  // [B] leading tokens that are keys, the others see them; null: all are
  float scale = 0;
  AttentionSpan span;
  ScoreBias bias;
};

/** The kernels: short ones hold all keys in shared memory and do one exact softmax; 0 means any length. */
struct AttentionKernel {
  int max_keys = 0;    // 64, 128, 256, or 0: online softmax over tiles of keys
  int query_rows = 0;  // of a tile
  bool sm90 = false;   // TMA and wgmma, for compute capability 9.0 alone; not for disentangled biases
  bool operator==(const AttentionKernel&) const = default;
};

/** A tile whose first query is past the end of its sequence has nothing to do. */
struct AttentionTile {
  int32_t sequence;
  int32_t first_query;  // of the sequence
};

/** What pads lists of tiles; no sequence is so long. */
inline constexpr AttentionTile kNoTile = {0, 1 << 30};

struct AttentionGroup {
  AttentionKernel kernel;
  int64_t first_tile = 0;
  int64_t tiles = 0;
  int stream = 0;  // 0: the stream of the call; others are side streams
  int blocks = 0;  // of the sm90 kernels: at most so many, each doing one tile and head after the other
  bool operator==(const AttentionGroup&) const = default;
};

/** Made once a batch, used by every layer. For one strategy and one list of edges, the kernel of a sequence
 * depends on its own length alone, and so do its bits. */
struct AttentionPlan {
  AttentionStrategy strategy = AttentionStrategy::kSingle;  // never kAuto
  std::vector<AttentionTile> tiles;  // to be copied to the device; cost falls within a group
  int64_t tile_capacity = 0;         // the most tiles that a plan for the options' capacity may have
  std::vector<AttentionGroup> groups;
  int streams = 1;
  int persistent_blocks = 0;
};
/** `cu_seqlens` is host memory. */
Result<AttentionPlan> plan_attention(std::span<const int32_t> cu_seqlens, const AttentionShape& shape,
                                     const AttentionSpan& span, const DeviceProperties& device,
                                     const AttentionPlanOptions& options = {});

/** The streams and events that a grouped plan forks over; owned by whoever launches, used by one stream at a
 * time. */
class AttentionStreams {
 public:
  /** `streams` counts the stream of the call as well: streams - 1 are created. */
  static Result<AttentionStreams> create(int streams);
  AttentionStreams(AttentionStreams&&) noexcept;
  AttentionStreams& operator=(AttentionStreams&&) noexcept;
  ~AttentionStreams();

  int count() const;
  /** The side streams wait for what `main` holds so far. */
  Status fork(cudaStream_t main);
  /** `main` waits for what the side streams hold. */
  Status join(cudaStream_t main);
  /** Stream `index` of a plan: 0 is `main`, others are side streams. */
  cudaStream_t stream(cudaStream_t main, int index) const;

 private:
  struct State;
  explicit AttentionStreams(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/**
 * `tiles` is the plan's list in device memory; `counter` an int32 in device memory that is 0 before the first
 * persistent launch and 0 again after each (null for other strategies); `streams` at least plan.streams
 * (null: all groups run on `stream`). Of a plan with more than one, the launch behind it waits for all: it
 * may not overlap.
 */
struct AttentionResources {
  const AttentionTile* tiles = nullptr;
  uint32_t* counter = nullptr;
  AttentionStreams* streams = nullptr;
};
Status varlen_attention(const VarlenAttentionArgs& args, const AttentionPlan& plan,
                        const AttentionResources& resources, LaunchStream stream);

/** The same for f32, other head dims and rows of any alignment, without tensor cores; `tiles` is the plan's
 * list in device memory. One kernel for all lengths: a sequence has the same bits in every batch. */
Status simt_attention(const VarlenAttentionArgs& args, const AttentionPlan& plan, const AttentionTile* tiles,
                      LaunchStream stream);

}  // namespace padless::cuda
