// The ops every device implements. Shapes and dtypes are checked at this interface, once, in host code.
//
// An op is enqueued on a stream and runs in the stream's order. On the CPU the stream is a queue with its own
// thread, and an op called from that thread has finished when it returns; on a GPU it has been launched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "lib/core/matrix.h"
#include "lib/core/packed_batch.h"
#include "lib/core/status.h"
#include "lib/engine/recording.h"
#include "lib/engine/row_program.h"
#include "lib/engine/stream.h"
#include "lib/engine/weights.h"

namespace padless {

/** Device memory, freed on destruction (on a GPU, in stream order). */
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() const = 0;
  virtual size_t bytes() const = 0;
};

/** Which keys a query sees, by position within its own sequence. */
struct AttentionSpan {
  bool causal = false;        // key <= query
  int64_t window_left = -1;   // query - key <= window_left; -1: unlimited
  int64_t window_right = -1;  // key - query <= window_right; -1: unlimited
};

/** Shape of an attention: what a plan depends on, besides the lengths. */
struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;  // heads % kv_heads == 0
  int64_t head_dim = 0;
};

/** A batch made ready for a device: its arrays where kernels read them, and the attention plan of all layers.
 */
class PreparedBatch {
 public:
  virtual ~PreparedBatch() = default;
  virtual const PackedBatch& host() const = 0;
  /** Rows of [T, ...] matrices that ops on the batch's tokens take. Those past its tokens are neither read
   * nor written. */
  virtual int64_t rows() const { return host().tokens(); }
  /** Rows of the matrices that pooling writes. Those past its sequences become zeros. */
  virtual int64_t pooled_rows() const { return host().sequences(); }
  /** Batches of one capacity for which this is the same launch the same kernels. */
  virtual uint32_t kernels() const { return 0; }
  /** f32 [rows(), cols]: what the layout's `token_rows[index]` made. */
  virtual Matrix token_rows(size_t index) const = 0;
  /** Of device memory. */
  virtual size_t bytes() const { return 0; }
};

/** What a batch is prepared for. */
struct BatchLayout {
  BatchCapacity capacity = {};
  std::span<const TokenRows> token_rows = {};
};

struct EmbedArgs {
  const DeviceTensor* word = nullptr;        // [vocab, H]
  float word_scale = 1;                      // of the word rows: sqrt(H) for Gemma
  const DeviceTensor* position = nullptr;    // [max_positions, H], or null
  int64_t position_offset = 0;               // row of position 0: pad + 1 for RoBERTa, 0 for BERT
  const DeviceTensor* token_type = nullptr;  // [types, H], or null
  const DeviceTensor* gamma = nullptr;       // f32 [H]; null: no norm
  const DeviceTensor* beta = nullptr;        // f32 [H], or null
  NormKind norm = NormKind::kLayer;
  float eps = 1e-12f;
  Matrix out;  // [T, H]
};

/**
 * What is added to the scores, by the distance of query and key within their sequence; at most one of the
 * three kinds. `reach` clamps the distance where a table is indexed by it.
 */
struct AttentionBias {
  /** ALiBi (arXiv:2108.12409), symmetric: -slope[h] * |query - key|, not scaled. f32 [heads]. */
  const DeviceTensor* alibi_slopes = nullptr;
  /** Relative buckets (T5, MPNet), expanded: relative[h][clamp(key - query) + reach], not scaled.
   * f32 [heads, 2 * reach + 1]. */
  const DeviceTensor* relative = nullptr;
  /** Disentangled (DeBERTa, arXiv:2006.03654, equation 4): with row = relative_rows[clamp(query - key) +
   * reach], scale * (q . position_keys[row, h] + k . position_queries[row, h]); either may be null. [rows,
   * heads * head_dim] in the activations' dtype; relative_rows i32 [2 * reach + 1], never falling. */
  const DeviceTensor* position_keys = nullptr;
  const DeviceTensor* position_queries = nullptr;
  const DeviceTensor* relative_rows = nullptr;
  int64_t reach = 0;
};

struct AttentionArgs {
  AttentionShape shape;
  Matrix q;         // [T, heads * head_dim]
  Matrix k;         // [T, kv_heads * head_dim]
  Matrix v;         // [T, kv_heads * head_dim]
  Matrix out;       // [T, heads * head_dim]
  Matrix lse;       // f32 [heads, T], natural log of the softmax denominator; data == nullptr: not wanted
  float scale = 0;  // of q k^T, 1 / sqrt(head_dim) unless the model says otherwise
  AttentionSpan span;
  AttentionBias bias;
  /** Of q k^T and p v. kBF16 and kI8 allow an engine whose activations are f32 to round the operands to bf16;
   * sums and softmax are fp32 in any case. */
  ComputeType compute = ComputeType::kF32;
};

enum class PoolMode { kCls, kMean, kMax, kLastToken, kWeightedMean, kMeanSqrtLength };

struct PoolArgs {
  PoolMode mode = PoolMode::kMean;
  Matrix in;                      // [T, H]
  Matrix out;                     // f32 [pooled_rows(), H]
  std::span<const int32_t> skip;  // [B] leading tokens of a sequence that do not count (the prompt); or empty
};

struct DeviceInfo {
  std::string name;         // "cpu", "cuda:0", "emulator:0"
  std::string description;  // the chip's own name
  std::string isa;          // what the kernels use: "avx512", "sm_90a", ...
  int threads = 0;          // CPU: the most threads one op uses
};

/** For `attention`: a count a sequence, each at least 1 and at most its length; E_UNSUPPORTED beside a bias.
 */
Status check_key_counts(const PackedBatch& batch, const AttentionBias& bias);

/** One device. Thread-safe: models and streams of one engine may be used from several threads. */
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const DeviceInfo& info() const = 0;
  /** The device has failed for good, with all that was on it; opening it again gives a new engine. */
  virtual bool is_lost() const { return false; }

  virtual Result<std::shared_ptr<Stream>> create_stream() = 0;
  virtual Result<std::unique_ptr<Event>> create_event() = 0;

  virtual Result<std::unique_ptr<Buffer>> allocate(size_t bytes) = 0;
  /** Bytes that buffers and weights of this engine hold now. */
  virtual size_t allocated_bytes() const = 0;
  /** The most of them at one time since the last reset. */
  virtual size_t peak_bytes() const = 0;
  virtual void reset_peak_bytes() = 0;
  virtual Status copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) = 0;
  virtual Status copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) = 0;
  /** The rows of a float matrix as f32, one directly after the other: host [rows, cols]. */
  virtual Status copy_rows_to_host(Stream& stream, float* host, const Matrix& matrix) = 0;
  /** On the stream's thread: returns when the device has done all work so far, for host code that reads
   * results. */
  virtual Status wait(Stream&) { return Status::ok(); }

  /** Whether ops work in memory of the caller as in that of `allocate`, and have finished when they return.
   */
  virtual bool works_in_host_memory() const { return false; }

  /** What [T, ...] activations are stored in when the products compute in `compute`; E_UNSUPPORTED if they
   * cannot. */
  virtual Result<DType> activation_dtype(ComputeType compute) const = 0;
  /** Whether q, k and v of `attention` are best stored in bf16 when activations are not, if products alone
   * make them and no bias is disentangled. */
  virtual bool attention_takes_bf16(ComputeType) const { return false; }
  /** Whether results of such an attention, `columns` wide, are best written in bf16 over its queries, if
   * products alone read them. */
  virtual bool attention_overwrites_queries(ComputeType, [[maybe_unused]] int64_t columns) const {
    return false;
  }
  virtual Result<std::shared_ptr<const LinearWeight>> pack_linear(const LinearSource& source) = 0;
  /** A copy in the device's memory as `dtype`: embedding tables keep their file's, norms are f32. An i32
   * tensor stays i32. */
  virtual Result<std::shared_ptr<const DeviceTensor>> upload(const HostTensor& tensor, DType dtype) = 0;

  /** The capacity that serves forwards over such a batch best. */
  virtual BatchCapacity capacity(const PackedBatch&) const { return {}; }
  /** About how many tokens of a batch should go through all layers before the next ones do, so that what they
   * write, `row_bytes` a token, is still near when it is read; 0: all. Only of engines whose ops have
   * finished when they return. */
  virtual int64_t layer_tokens([[maybe_unused]] int64_t row_bytes) const { return 0; }
  /** A forward has been enqueued: what it needs may wake meanwhile. Any thread may call it. */
  virtual void expect_forward() const {}
  /** `batch` must outlive the result. cu_seqlens have been checked. */
  virtual Result<std::unique_ptr<PreparedBatch>> prepare(Stream& stream, const PackedBatch& batch,
                                                         const AttentionShape& shape,
                                                         const BatchLayout& layout = {}) = 0;
  /** Gives a batch of the same layout the place of the one before, when the stream is done with that. */
  virtual Status refill(Stream&, PreparedBatch&, const PackedBatch&, std::span<const TokenRows>) {
    return {Code::kUnsupported, concat(info().name, " prepares every batch anew")};
  }

  /**
   * What `body` enqueues, instead of running it. Its ops must be the same for all batches that the recording
   * shall serve, over the same memory, and copy nothing from or to the host. A failure leaves nothing behind.
   */
  virtual Result<std::unique_ptr<Recording>> record(Stream&, const std::function<Status()>&) {
    return Status(Code::kUnsupported, concat(info().name, " records nothing"));
  }
  /** Enqueues what was recorded on this stream, over what its memory holds then. */
  virtual Status replay(Stream&, const Recording&) {
    return {Code::kUnsupported, concat(info().name, " records nothing")};
  }
  virtual RecordingCounts recording_counts() const { return {}; }

  /** out[t] = norm(word[ids[t]] + position[positions[t] + offset] + token_type[token_types[t]]). */
  virtual Status embed(Stream& stream, const PreparedBatch& batch, const EmbedArgs& args) = 0;
  /** Runs `program` on `rows` rows; matrices[i] is what slots with binding i mean. */
  virtual Status run_rows(Stream& stream, const RowProgram& program, std::span<const Matrix> matrices,
                          int64_t rows) = 0;
  /** Runs `program` on the tokens of the batch; matrices have batch.rows() rows. */
  virtual Status run_token_rows(Stream& stream, const PreparedBatch& batch, const RowProgram& program,
                                std::span<const Matrix> matrices) {
    return run_rows(stream, program, matrices, batch.host().tokens());
  }
  virtual Status attention(Stream& stream, const PreparedBatch& batch, const AttentionArgs& args) = 0;
  /** An empty sequence pools to zeros. */
  virtual Status pool(Stream& stream, const PreparedBatch& batch, const PoolArgs& args) = 0;
  /** out[i] = in[indices[i]], zeros for an index of -1; indices in host memory, checked by the caller. */
  virtual Status gather_rows(Stream& stream, const Matrix& in, std::span<const int32_t> indices,
                             const Matrix& out) = 0;
};

}  // namespace padless
