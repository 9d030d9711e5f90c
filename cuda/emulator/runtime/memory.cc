#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "cuda/emulator/kernel_language.h"
#include "cuda/emulator/state.h"
const char* cudaGetErrorName(cudaError_t error) { return error == cudaSuccess ? "cudaSuccess" : "cudaError"; }
static std::string last;
const char* cudaGetErrorString(cudaError_t) { return last.c_str(); }
cudaError_t cudaMalloc(void** p, size_t n) {
  *p = nullptr;
  if (n && posix_memalign(p, 256, n)) return cudaErrorMemoryAllocation;
  if (n) memset(*p, 0xFF, n);
  return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
  free(p);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind) {
  if (n) memcpy(d, s, n);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* d, int v, size_t n) {
  if (n) memset(d, v, n);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
namespace padless::cuda::emulator {
std::string take_failure() { return std::exchange(last, {}); }
cudaError_t enqueue_kernel_body(const KernelLaunch& l, std::function<void()> body, const void*, size_t) {
  last = check_shape({l.grid, l.block, l.cluster, l.shared_bytes});
  if (last.empty()) last = run_grids({{{l.grid, l.block, l.cluster, l.shared_bytes}, &body}});
  return last.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}
}  // namespace padless::cuda::emulator
