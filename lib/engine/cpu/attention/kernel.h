// What the attention kernels of every instruction set look like from outside. Plain data only: this header is
// included by translation units that are compiled for different processors.
#pragma once

#include <cstdint>

namespace padless {

/** AttentionBias of the query heads of one KV head; pointers of what is not asked for are null. */
struct AttentionHeadBias {
  const float* alibi_slopes = nullptr;      // [group]
  const float* relative = nullptr;          // [group, 2 * reach + 1]
  const float* position_keys = nullptr;     // [rows, group * head_dim]
  const float* position_queries = nullptr;  // [rows, group * head_dim]
  const int32_t* relative_rows = nullptr;   // [2 * reach + 1]
  int64_t relative_stride = 0;
  int64_t position_keys_stride = 0;
  int64_t position_queries_stride = 0;
  int64_t reach = 0;
};

/** Rows of q, k and v that later calls read, to be asked for while this one computes. Strides in bytes. */
struct AttentionFetch {
  const char* from[3] = {};
  int64_t stride[3] = {};
  int64_t bytes[3] = {};
  int64_t rows = 0;
};

/** One KV head of one sequence with the query heads that share it. Row t of a view is data + t * stride. */
struct AttentionHead {
  const void* q = nullptr;  // [length, group * head_dim]
  const void* k = nullptr;  // [length, head_dim]
  const void* v = nullptr;  // [length, head_dim]
  void* out = nullptr;      // [length, group * head_dim]
  float* lse = nullptr;     // [group, length], or null
  bool bf16 = false;        // q, k and v are bf16, not f32: for kernels that take it
  bool bf16_out = false;    // likewise out, which may then be where q is
  int64_t q_stride = 0;
  int64_t k_stride = 0;
  int64_t v_stride = 0;
  int64_t out_stride = 0;
  int64_t lse_stride = 0;
  int64_t length = 0;
  int64_t group = 1;
  int64_t head_dim = 0;
  float scale = 1;
  AttentionHeadBias bias;
  AttentionFetch fetch;
  int64_t window_left = 0;  // query i sees keys [i - window_left, i + window_right], both less than length
  int64_t window_right = 0;
  int64_t first_query = 0;  // the queries to compute: a multiple of kQueryAlignment ...
  int64_t last_query = 0;   // ... and another, or length
};

/** Floats of scratch memory that a kernel needs for heads up to that size. */
using AttentionScratchSize = int64_t (*)(const AttentionHeadBias& bias, int64_t head_dim, int64_t length);
/** `scratch` is 64-byte aligned. Bits of a query's result depend on its own sequence and the kernel alone. */
using AttentionKernel = void (*)(const AttentionHead& head, float* scratch);

struct AttentionKernels {
  AttentionScratchSize scratch_floats;
  AttentionKernel run;
  bool takes_bf16 = false;  // queries, keys and values may be bf16, and results
  // Called on a thread before its first and after its last `run`; null where there is nothing to do.
  void (*enter)() = nullptr;
  void (*leave)() = nullptr;
};

namespace portable {
extern const AttentionKernels attention_kernels;
}
namespace neon {
extern const AttentionKernels attention_kernels;
}
namespace avx2 {
extern const AttentionKernels attention_kernels;
}
namespace avx512 {
extern const AttentionKernels attention_kernels;
/** With AVX512-BF16; no disentangled bias, whose products are fp32. */
extern const AttentionKernels attention_bf16_kernels;
/** With AMX; no disentangled bias. */
extern const AttentionKernels attention_amx_kernels;
}  // namespace avx512

}  // namespace padless
