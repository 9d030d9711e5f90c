// CUDA C++ as the host compiler sees it: keywords, built-in variables, warp and block functions, atomics,
// math. Included through cuda/platform.cuh only.
//
// `__shared__` and `__constant__` are deliberately not defined: a kernel that uses them does not compile
// here.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda/emulator/half_types.h"
#include "cuda/emulator/instructions.h"
#include "cuda/emulator/runtime/runtime_api.h"
#include "cuda/emulator/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
#define threadIdx (::padless::cuda::emulator::this_thread->thread_index)
#define blockIdx (::padless::cuda::emulator::this_thread->block_index)
#define blockDim (::padless::cuda::emulator::this_thread->block_dim)
#define gridDim (::padless::cuda::emulator::this_thread->grid_dim)
constexpr int warpSize = 32;

namespace padless::cuda::emulator {

struct KernelLaunch {
  dim3 grid, block, cluster;
  size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
  bool programmatic = false;
};

cudaError_t enqueue_kernel_body(const KernelLaunch& launch, std::unique_ptr<const KernelBody> body);

template <class... Parameters>
class BoundKernel final : public KernelBody {
 public:
  template <class... Arguments>
  explicit BoundKernel(void (*kernel)(Parameters...), Arguments&&... arguments)
      : kernel_(kernel), arguments_(std::forward<Arguments>(arguments)...) {}
  // Every thread gets its own copy of the parameters, as on the GPU.
  void run() const override { std::apply(kernel_, arguments_); }
  const void* arguments() const override { return &arguments_; }
  size_t argument_bytes() const override { return sizeof(arguments_); }

 private:
  void (*kernel_)(Parameters...);
  std::tuple<std::remove_cv_t<Parameters>...> arguments_;
};

template <class... Parameters, class... Arguments>
cudaError_t enqueue_kernel(const KernelLaunch& launch, void (*kernel)(Parameters...),
                           Arguments&&... arguments) {
  return enqueue_kernel_body(
      launch, std::make_unique<BoundKernel<Parameters...>>(kernel, std::forward<Arguments>(arguments)...));
}

template <class T, class Update>
T update_atomically(T* address, Update update) {
  T old, desired;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  do {
    desired = update(old);
  } while (!__atomic_compare_exchange(address, &old, &desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}

}  // namespace padless::cuda::emulator

#define PADLESS_HERE \
  ::padless::cuda::emulator::CallSite where = ::padless::cuda::emulator::CallSite::current()
#define PADLESS_EMULATOR ::padless::cuda::emulator

// ---- block and warp
inline void __syncthreads(PADLESS_HERE) { PADLESS_EMULATOR::sync_threads(where); }
inline int __syncthreads_count(int predicate, PADLESS_HERE) {
  return static_cast<int>(PADLESS_EMULATOR::sync_threads_count(predicate != 0, where));
}
inline int __syncthreads_or(int predicate, PADLESS_HERE) {
  return __syncthreads_count(predicate, where) != 0;
}
inline int __syncthreads_and(int predicate, PADLESS_HERE) {
  return __syncthreads_count(!predicate, where) == 0;
}
inline void __syncwarp(unsigned mask = ~0u, PADLESS_HERE) { PADLESS_EMULATOR::sync_warp(mask, where); }

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, PADLESS_HERE) {
  return PADLESS_EMULATOR::shuffle(mask, value, lane, width, PADLESS_EMULATOR::ShuffleMode::index, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, PADLESS_HERE) {
  return PADLESS_EMULATOR::shuffle(mask, value, static_cast<int>(delta), width,
                                   PADLESS_EMULATOR::ShuffleMode::up, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, PADLESS_HERE) {
  return PADLESS_EMULATOR::shuffle(mask, value, static_cast<int>(delta), width,
                                   PADLESS_EMULATOR::ShuffleMode::down, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, PADLESS_HERE) {
  return PADLESS_EMULATOR::shuffle(mask, value, lane_mask, width, PADLESS_EMULATOR::ShuffleMode::exclusive_or,
                                   where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, PADLESS_HERE) {
  return PADLESS_EMULATOR::ballot(mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, PADLESS_HERE) {
  return PADLESS_EMULATOR::ballot(mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, PADLESS_HERE) {
  return PADLESS_EMULATOR::ballot(mask, predicate == 0, where) == 0;
}
inline void __nanosleep(unsigned, PADLESS_HERE) { PADLESS_EMULATOR::yield_while_polling(where); }
[[noreturn]] inline void __trap(PADLESS_HERE) { PADLESS_EMULATOR::fail("__trap", where); }

// ---- memory
inline void __threadfence() { PADLESS_EMULATOR::memory_fence(); }
inline void __threadfence_block() { PADLESS_EMULATOR::memory_fence(); }
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return PADLESS_EMULATOR::update_atomically(address, [&](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return PADLESS_EMULATOR::update_atomically(address, [&](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return PADLESS_EMULATOR::update_atomically(address, [&](T old) { return value < old ? value : old; });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return PADLESS_EMULATOR::update_atomically(address, [&](T old) { return static_cast<T>(old | value); });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return PADLESS_EMULATOR::update_atomically(address, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return PADLESS_EMULATOR::update_atomically(address, [&](T old) { return old == expected ? value : old; });
}
// The GPU's wrap-around increment: back to 0 after `limit`.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return PADLESS_EMULATOR::update_atomically(address,
                                             [&](unsigned old) { return old >= limit ? 0 : old + 1; });
}

// ---- integer and bit functions
inline int __popc(unsigned v) { return std::popcount(v); }
inline int __popcll(unsigned long long v) { return std::popcount(v); }
inline int __clz(int v) { return std::countl_zero(static_cast<unsigned>(v)); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline float __int_as_float(int v) { return std::bit_cast<float>(v); }
inline int __float_as_int(float v) { return std::bit_cast<int>(v); }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long min(long a, long b) { return a < b ? a : b; }
inline long max(long a, long b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }

// ---- math with GPU names; expf, erff, tanhf, fmaf and their like are the host's
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

#undef PADLESS_HERE
#undef PADLESS_EMULATOR
