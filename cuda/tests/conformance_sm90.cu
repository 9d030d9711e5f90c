// Vectors of Hopper's wrappers (sm_90a): stmatrix, conversions of e4m3, TMA with mbarrier, wgmma.
#include "cuda/ptx/math.cuh"
#include "cuda/ptx/stmatrix.cuh"
#include "cuda/tests/conformance.h"
#include "cuda/tests/tma_cases.cuh"
#include "cuda/tests/wgmma_cases.cuh"

namespace padless::cuda::test {
namespace {

struct alignas(16) StoreStorage {
  uint16_t rows[32][8];
};

template <bool kTranspose>
__global__ void store_matrices(const uint32_t* in, uint16_t* out) {
  SHARED_STORAGE(StoreStorage, shared);
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t r[4];
  for (int i = 0; i < 4; i++) r[i] = in[lane * 4 + i];
  const uint32_t address = ptx::cvta_to_shared(shared.rows[lane]);
  if constexpr (kTranspose) {
    ptx::stmatrix_x4_trans(address, r);
  } else {
    ptx::stmatrix_x4(address, r);
  }
  __syncwarp();
  for (int i = 0; i < 8; i++) out[lane * 8 + i] = shared.rows[lane][i];
}

template <bool kTranspose>
void add_store(std::vector<Vector>& vectors, const char* name) {
  std::vector<uint32_t> values(128);
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<uint32_t>(i * 0x00030001u + 0x00010000u);
  DeviceBuffer<uint32_t> in(values);
  DeviceBuffer<uint16_t> out(256);
  check_ok(launch(store_matrices<kTranspose>, {.grid = 1, .block = 32, .shared_bytes = sizeof(StoreStorage)},
                  in.data(), out.data()),
           name);
  vectors.push_back({name, values, words(out.download())});
}

__global__ void to_e4m3(const float* in, uint16_t* out) {
  const unsigned i = threadIdx.x;
  out[i] = ptx::cvt_rn_satfinite_e4m3x2(in[2 * i], in[2 * i + 1]);
}

__global__ void from_e4m3(const uint16_t* in, uint32_t* out) {
  out[threadIdx.x] = ptx::cvt_rn_f16x2_e4m3x2(in[threadIdx.x]);
}

void add_e4m3(std::vector<Vector>& vectors) {
  constexpr unsigned kPairs = 128;
  Random random;
  std::vector<float> values = random.vector<float>(2 * kPairs, -500.0f, 500.0f);
  // Ties between normals and between subnormals, underflow, the edge of saturation.
  const float special[] = {0.0f,   -0.0f,  17.0f,  19.0f,  0x1p-10f, 3 * 0x1p-10f, 0x1p-11f,
                           448.0f, 463.9f, 464.0f, 465.0f, -1e30f,   INFINITY,     NAN};
  std::copy(std::begin(special), std::end(special), values.begin());
  DeviceBuffer<float> in(values);
  DeviceBuffer<uint16_t> codes(kPairs);
  check_ok(launch(to_e4m3, {.grid = 1, .block = kPairs}, in.data(), codes.data()), "to_e4m3");
  vectors.push_back({"cvt_rn_satfinite_e4m3x2", words(values), words(codes.download())});
  std::vector<uint16_t> all(kPairs);
  for (unsigned i = 0; i < kPairs; i++) all[i] = static_cast<uint16_t>(2 * i | (2 * i + 1) << 8);
  DeviceBuffer<uint16_t> every_code(all);
  DeviceBuffer<uint32_t> halves(kPairs);
  check_ok(launch(from_e4m3, {.grid = 1, .block = kPairs}, every_code.data(), halves.data()), "from_e4m3");
  vectors.push_back({"cvt_rn_f16x2_e4m3x2", words(all), halves.download()});
}

std::vector<Vector> make_vectors() {
  std::vector<Vector> vectors;
  add_e4m3(vectors);
  add_store<false>(vectors, "stmatrix_x4");
  add_store<true>(vectors, "stmatrix_x4_trans");
  for (const BoxCase& c : kBoxCases) {
    const auto tensor = tensor_of(c);
    vectors.push_back(
        {std::string("cp_async_bulk_tensor_load, ") + c.name, words(tensor), words(run_load(c, tensor))});
    vectors.push_back(
        {std::string("cp_async_bulk_tensor_store, ") + c.name, words(tensor), words(run_store(c, tensor))});
  }
  for_each_wgmma_case([&](const std::string& name, const auto& result, int, float) {
    auto input = words(result.a);
    const auto b = words(result.b);
    input.insert(input.end(), b.begin(), b.end());
    vectors.push_back({name, input, words(result.d)});
  });
  return vectors;
}

}  // namespace
}  // namespace padless::cuda::test

int main(int count, char** arguments) {
  using namespace padless::cuda::test;
  return conformance_main(count, arguments, "conformance_sm90", make_vectors());
}
