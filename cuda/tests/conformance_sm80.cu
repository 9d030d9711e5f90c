// Vectors of the wrappers that every supported GPU has: ldmatrix, mma, cp.async, conversions, approximate
// functions.
#include "cuda/platform.cuh"
#include "cuda/ptx/cp_async.cuh"
#include "cuda/ptx/ldmatrix.cuh"
#include "cuda/ptx/math.cuh"
#include "cuda/ptx/mma.cuh"
#include "cuda/tests/conformance.h"

namespace padless::cuda::test {
namespace {

struct alignas(16) MatrixStorage {
  uint16_t rows[32][8];
};

enum class Load { x1, x2, x2_trans, x4, x4_trans };

template <Load kLoad>
__global__ void load_matrices(const uint16_t* in, uint32_t* out) {
  SHARED_STORAGE(MatrixStorage, shared);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 8; i++) shared.rows[lane][i] = in[lane * 8 + i];
  __syncwarp();
  const uint32_t address = ptx::cvta_to_shared(shared.rows[lane]);
  uint32_t r4[4] = {}, r2[2] = {};
  if constexpr (kLoad == Load::x1) ptx::ldmatrix_x1(r4[0], address);
  if constexpr (kLoad == Load::x2) ptx::ldmatrix_x2(r2, address);
  if constexpr (kLoad == Load::x2_trans) ptx::ldmatrix_x2_trans(r2, address);
  if constexpr (kLoad == Load::x4) ptx::ldmatrix_x4(r4, address);
  if constexpr (kLoad == Load::x4_trans) ptx::ldmatrix_x4_trans(r4, address);
  for (int i = 0; i < 2; i++) r4[i] |= r2[i];
  for (int i = 0; i < 4; i++) out[lane * 4 + i] = r4[i];
}

template <Load kLoad>
void add_load(std::vector<Vector>& vectors, const char* name) {
  std::vector<uint16_t> values(256);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<uint16_t>(i * 257 + 3);
  DeviceBuffer<uint16_t> in(values);
  DeviceBuffer<uint32_t> out(128);
  check_ok(launch(load_matrices<kLoad>, {.grid = 1, .block = 32, .shared_bytes = sizeof(MatrixStorage)},
                  in.data(), out.data()),
           name);
  vectors.push_back({name, words(values), out.download()});
}

template <class T>
__global__ void multiply(const uint32_t* a, const uint32_t* b, const float* c, float* d) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t fragment_a[4], fragment_b[2];
  float fragment_c[4], result[4];
  for (int i = 0; i < 4; i++) fragment_a[i] = a[lane * 4 + i];
  for (int i = 0; i < 2; i++) fragment_b[i] = b[lane * 2 + i];
  for (int i = 0; i < 4; i++) fragment_c[i] = c[lane * 4 + i];
  ptx::mma_m16n8k16<T>(result, fragment_a, fragment_b, fragment_c);
  for (int i = 0; i < 4; i++) d[lane * 4 + i] = result[i];
}

// Small integers: the product is exact whatever the order and rounding of the tensor core's sums.
template <class T>
void add_mma(std::vector<Vector>& vectors, const char* name) {
  Random random;
  std::vector<T> a(256), b(128);
  std::vector<float> c(128);
  for (T& value : a) value = static_cast<T>(static_cast<float>(random.integer(-8, 8)));
  for (T& value : b) value = static_cast<T>(static_cast<float>(random.integer(-8, 8)));
  for (float& value : c) value = static_cast<float>(random.integer(-100, 100));
  DeviceBuffer<uint32_t> device_a(words(a)), device_b(words(b));
  DeviceBuffer<float> device_c(c), d(128);
  check_ok(launch(multiply<T>, {.grid = 1, .block = 32}, device_a.data(), device_b.data(), device_c.data(),
                  d.data()),
           name);
  auto input = words(a);
  for (const auto& part : {words(b), words(c)}) input.insert(input.end(), part.begin(), part.end());
  vectors.push_back({name, input, words(d.download())});
}

struct alignas(16) CopyStorage {
  uint32_t words[32][4];
};

__global__ void copy_partly(const uint32_t* in, uint32_t* out) {
  SHARED_STORAGE(CopyStorage, shared);
  const unsigned lane = threadIdx.x;
  ptx::cp_async_cg_16(ptx::cvta_to_shared(shared.words[lane]), in + lane * 4, lane % 5 * 4);
  ptx::cp_async_commit_group();
  ptx::cp_async_wait_group<0>();
  for (unsigned i = 0; i < 4; i++) out[lane * 4 + i] = shared.words[lane][i];
}

void add_copy(std::vector<Vector>& vectors) {
  std::vector<uint32_t> values(128);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<uint32_t>(i * 0x01010101u + 7);
  DeviceBuffer<uint32_t> in(values), out(128);
  check_ok(launch(copy_partly, {.grid = 1, .block = 32, .shared_bytes = sizeof(CopyStorage)}, in.data(),
                  out.data()),
           "cp_async");
  vectors.push_back({"cp_async_cg_16 of 0 to 16 bytes", values, out.download()});
}

enum class Function { ex2, lg2, rcp, rsqrt, tanh, cvt_bf16, cvt_fp16 };

template <Function kFunction>
__global__ void apply(const float* in, uint32_t* out, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= count) return;
  const float x = in[i];
  if constexpr (kFunction == Function::ex2) out[i] = __float_as_uint(ptx::ex2_approx(x));
  if constexpr (kFunction == Function::lg2) out[i] = __float_as_uint(ptx::lg2_approx(x));
  if constexpr (kFunction == Function::rcp) out[i] = __float_as_uint(ptx::rcp_approx(x));
  if constexpr (kFunction == Function::rsqrt) out[i] = __float_as_uint(ptx::rsqrt_approx(x));
  if constexpr (kFunction == Function::tanh) out[i] = __float_as_uint(ptx::tanh_approx(x));
  if constexpr (kFunction == Function::cvt_bf16) out[i] = ptx::cvt_rn_x2<bf16>(x, in[count - 1 - i]);
  if constexpr (kFunction == Function::cvt_fp16) out[i] = ptx::cvt_rn_x2<fp16>(x, in[count - 1 - i]);
}

template <Function kFunction>
void add_function(std::vector<Vector>& vectors, const char* name, const std::vector<float>& in,
                  double tolerance, double floor) {
  DeviceBuffer<float> device(in);
  DeviceBuffer<uint32_t> out(in.size());
  check_ok(launch(apply<kFunction>, {.grid = 1, .block = 128}, device.data(), out.data(),
                  static_cast<int>(in.size())),
           name);
  vectors.push_back({name, words(in), out.download(), tolerance, floor});
}

std::vector<Vector> make_vectors() {
  std::vector<Vector> vectors;
  add_load<Load::x1>(vectors, "ldmatrix_x1");
  add_load<Load::x2>(vectors, "ldmatrix_x2");
  add_load<Load::x2_trans>(vectors, "ldmatrix_x2_trans");
  add_load<Load::x4>(vectors, "ldmatrix_x4");
  add_load<Load::x4_trans>(vectors, "ldmatrix_x4_trans");
  add_mma<bf16>(vectors, "mma_m16n8k16 bf16");
  add_mma<fp16>(vectors, "mma_m16n8k16 fp16");
  add_copy(vectors);
  Random random;
  std::vector<float> any = random.vector<float>(100, -20.0f, 20.0f),
                     positive = random.vector<float>(100, 1e-3f, 20.0f);
  for (float special : {0.0f, -0.0f, 1.0f, -1.0f, 0.5f}) any.push_back(special);
  std::vector<float> with_limits = any;
  for (float special : {INFINITY, -INFINITY, 65519.0f, 65520.0f, 1e-7f, 6e-8f, 3.3895314e38f, 1.00390625f}) {
    with_limits.push_back(special);
  }
  std::vector<float> exponents = any;
  exponents.push_back(-INFINITY);
  add_function<Function::ex2>(vectors, "ex2_approx", exponents, 5e-7, 0);
  add_function<Function::lg2>(vectors, "lg2_approx", positive, 5e-7, 1);
  add_function<Function::rcp>(vectors, "rcp_approx", positive, 2.5e-7, 0);
  add_function<Function::rsqrt>(vectors, "rsqrt_approx", positive, 5e-7, 0);
  add_function<Function::tanh>(vectors, "tanh_approx", any, 1e-3, 0);
  add_function<Function::cvt_bf16>(vectors, "cvt_rn_x2 bf16", with_limits, 0, 0);
  add_function<Function::cvt_fp16>(vectors, "cvt_rn_x2 fp16", with_limits, 0, 0);
  return vectors;
}

}  // namespace
}  // namespace padless::cuda::test

int main(int count, char** arguments) {
  using namespace padless::cuda::test;
  return conformance_main(count, arguments, "conformance_sm80", make_vectors());
}
