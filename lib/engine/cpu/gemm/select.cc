#include "lib/engine/cpu/gemm/select.h"

namespace padless {

namespace portable {
extern const GemmKernel f32_kernel;
extern const GemmKernel bf16_widen_kernel;
extern const GemmKernel i8_widen_kernel;
}  // namespace portable
#if defined(__x86_64__)
namespace avx2 {
extern const GemmKernel f32_kernel;
extern const GemmKernel bf16_widen_kernel;
extern const GemmKernel i8_widen_kernel;
extern const GemmKernel i8_dot_kernel;
}  // namespace avx2
namespace avx512 {
extern const GemmKernel f32_kernel;
extern const GemmKernel bf16_widen_kernel;
extern const GemmKernel bf16_dot_kernel;
extern const GemmKernel i8_widen_kernel;
extern const GemmKernel i8_dot_kernel;
extern const GemmKernel f32_amx_kernel;
extern const GemmKernel bf16_amx_kernel;
extern const GemmKernel i8_amx_kernel;
}  // namespace avx512
#elif defined(__aarch64__)
namespace neon {
extern const GemmKernel f32_kernel;
extern const GemmKernel bf16_widen_kernel;
extern const GemmKernel bf16_dot_kernel;
extern const GemmKernel i8_widen_kernel;
extern const GemmKernel i8_dot_kernel;
}  // namespace neon
#endif

namespace {

#if defined(__x86_64__)

const GemmKernel* select_x86(const CpuIsa& isa, ComputeType compute) {
  const bool avx512 = isa.level >= IsaLevel::kAvx512;
  switch (compute) {
    case ComputeType::kF32:
      return avx512 ? &avx512::f32_kernel : &avx2::f32_kernel;
    case ComputeType::kBF16:
      if (isa.amx_bf16) return &avx512::bf16_amx_kernel;
      if (avx512) return isa.prefers_bf16_dots() ? &avx512::bf16_dot_kernel : &avx512::bf16_widen_kernel;
      return &avx2::bf16_widen_kernel;
    case ComputeType::kI8:
      if (isa.amx_int8) return &avx512::i8_amx_kernel;
      if (avx512 && isa.avx512_vnni) return &avx512::i8_dot_kernel;
      if (isa.avx_vnni) return &avx2::i8_dot_kernel;
      return avx512 ? &avx512::i8_widen_kernel : &avx2::i8_widen_kernel;
    case ComputeType::kF16:
    case ComputeType::kFp8:
      return nullptr;
  }
  return nullptr;
}

#elif defined(__aarch64__)

const GemmKernel* select_neon(const CpuIsa& isa, ComputeType compute) {
  switch (compute) {
    case ComputeType::kF32:
      return &neon::f32_kernel;
    case ComputeType::kBF16:
      return isa.neon_bf16 ? &neon::bf16_dot_kernel : &neon::bf16_widen_kernel;
    case ComputeType::kI8:
      return isa.neon_dotprod ? &neon::i8_dot_kernel : &neon::i8_widen_kernel;
    case ComputeType::kF16:
    case ComputeType::kFp8:
      return nullptr;
  }
  return nullptr;
}

#endif

const GemmKernel* select_portable(ComputeType compute) {
  switch (compute) {
    case ComputeType::kF32:
      return &portable::f32_kernel;
    case ComputeType::kBF16:
      return &portable::bf16_widen_kernel;
    case ComputeType::kI8:
      return &portable::i8_widen_kernel;
    case ComputeType::kF16:
    case ComputeType::kFp8:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

const GemmKernel* select_gemm_kernel(const CpuIsa& isa, ComputeType compute) {
#if defined(__x86_64__)
  if (isa.level >= IsaLevel::kAvx2) return select_x86(isa, compute);
#elif defined(__aarch64__)
  if (isa.level == IsaLevel::kNeon) return select_neon(isa, compute);
#endif
  (void)isa;
  return select_portable(compute);
}

const GemmKernel* select_many_rows_kernel(const CpuIsa& isa, const GemmKernel& packed) {
#if defined(__x86_64__)
  if (isa.amx_bf16 && &packed == &avx512::f32_kernel) return &avx512::f32_amx_kernel;
#endif
  (void)isa;
  (void)packed;
  return nullptr;
}

}  // namespace padless
