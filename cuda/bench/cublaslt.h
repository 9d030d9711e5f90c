// cuBLASLt, opened at run time where it is installed: the yardstick of the GEMMs. Its types are declared here
// as far as they are used, so that the program builds and runs without it.
#pragma once

#include <cstdint>
#include <memory>

#include "cuda/runtime.h"

namespace padless::cuda::bench {

/** out[m, n] = in[m, k] weight^T, all bf16, row-major with strides in elements; `batch` of them, `_step`
 * elements apart. */
struct Product {
  int64_t m = 0, n = 0, k = 0;
  int64_t in_stride = 0, weight_stride = 0, out_stride = 0;
  bool weight_is_k_by_n = false;  // otherwise weight is [n, k]
  int64_t batch = 1, in_step = 0, weight_step = 0, out_step = 0;
  const void* gelu_bias =
      nullptr;  // [n] bf16, which is added before GELU by tanh, cuBLASLt's only one; or null
};

class CublasLt {
 public:
  /** Null where no libcublasLt can be opened. */
  static std::unique_ptr<CublasLt> open();
  ~CublasLt();

  /** A product with the algorithm that cuBLASLt's heuristic prefers. */
  class Prepared {
   public:
    Prepared(Prepared&&) noexcept;
    ~Prepared();
    Status run(const void* in, const void* weight, void* out, cudaStream_t stream) const;

   private:
    friend CublasLt;
    struct State;
    explicit Prepared(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  Result<Prepared> prepare(const Product& product);

 private:
  struct Library;
  explicit CublasLt(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

}  // namespace padless::cuda::bench
