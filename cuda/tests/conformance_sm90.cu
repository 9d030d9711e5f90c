// Vectors of Hopper's wrappers (sm_90a): stmatrix, TMA with mbarrier, wgmma.
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

std::vector<Vector> make_vectors() {
  std::vector<Vector> vectors;
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
