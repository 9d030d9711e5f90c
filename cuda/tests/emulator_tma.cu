// TMA loads and stores against addresses worked out element by element; multicast and distributed shared
// memory.
#include <cstring>

#include "cuda/tests/tma_cases.cuh"

namespace padless::cuda::test {
namespace {

// Where element (x, y, z) of the box lies in shared memory: its 16-byte chunk moves within the row's span.
size_t byte_of(const BoxCase& c, uint32_t x, uint32_t y, uint32_t z) {
  const size_t span = c.swizzle == ptx::Swizzle::none ? 0 : 16u << static_cast<unsigned>(c.swizzle);
  const size_t pitch = span != 0 ? span : c.box[0] * 2, row = z * c.box[1] + y;
  const size_t rows_of_pattern = span == 128  ? 8
                                 : span == 64 ? 4
                                              : 2;  // a pattern row repeats over 128 bytes
  const size_t chunk = x * 2 / 16, key = span == 0 ? 0 : row * span / 128 % rows_of_pattern;
  return row * pitch + (chunk ^ key) * 16 + x * 2 % 16;
}

template <class Visit>
void for_each_element(const BoxCase& c, Visit visit) {
  for (uint32_t z = 0; z < (c.rank == 3 ? c.box[2] : 1); z++) {
    for (uint32_t y = 0; y < c.box[1]; y++) {
      for (uint32_t x = 0; x < c.box[0]; x++) {
        const int64_t at[3] = {c.corner[0] + int64_t{x}, c.corner[1] + int64_t{y}, c.corner[2] + int64_t{z}};
        bool inside = true;
        for (int d = 0; d < c.rank; d++)
          inside = inside && at[d] >= 0 && at[d] < static_cast<int64_t>(c.extent[d]);
        const int64_t index =
            at[0] + static_cast<int64_t>(c.extent[0]) *
                        (at[1] + (c.rank == 3 ? static_cast<int64_t>(c.extent[1]) * at[2] : 0));
        visit(byte_of(c, x, y, z), inside, inside ? static_cast<size_t>(index) : 0);
      }
    }
  }
}

void test_load(const BoxCase& c) {
  const auto tensor = tensor_of(c);
  const auto dump = run_load(c, tensor);
  std::vector<uint8_t> expected(kBoxStorage, kUntouched);
  for_each_element(c, [&](size_t byte, bool inside, size_t index) {
    const bf16 value = inside ? tensor[index] : bf16(0.0f);
    std::memcpy(&expected[byte], &value, sizeof(value));
  });
  check(dump == expected, std::string("TMA load, ") + c.name);
}

void test_store(const BoxCase& c) {
  const auto before = tensor_of(c);
  auto expected = before;
  for_each_element(c, [&](size_t byte, bool inside, size_t index) {
    if (!inside) return;
    const uint8_t bytes[2] = {static_cast<uint8_t>(byte % 251), static_cast<uint8_t>((byte + 1) % 251)};
    std::memcpy(&expected[index], bytes, sizeof(bytes));
  });
  const auto after = run_store(c, before);
  check(std::memcmp(after.data(), expected.data(), after.size() * sizeof(bf16)) == 0,
        std::string("TMA store, ") + c.name);
}

struct alignas(1024) ClusterStorage {
  bf16 tile[2][64 * 64];
  uint64_t loaded, arrived;
  uint32_t flag;
};

// Two blocks: each loads half of a tile for both, reads the other's flag and arrives at its barrier.
__global__ void exchange_in_cluster(const __grid_constant__ ptx::TensorMap map, float* sums,
                                    uint32_t* flags) {
  SHARED_STORAGE(ClusterStorage, shared);
  const uint32_t loaded = ptx::cvta_to_shared(&shared.loaded), arrived = ptx::cvta_to_shared(&shared.arrived);
  const unsigned rank = ptx::cluster_ctarank(), lane = threadIdx.x;
  if (lane == 0) {
    ptx::mbarrier_init(loaded, 1);
    ptx::mbarrier_init(arrived, 1);
    shared.flag = 100 + rank;
    ptx::fence_mbarrier_init();
  }
  ptx::barrier_cluster_arrive();
  ptx::barrier_cluster_wait();
  if (lane == 0) {
    ptx::mbarrier_arrive_expect_tx(loaded, sizeof(shared.tile));
    ptx::cp_async_bulk_tensor_load_2d_multicast(ptx::cvta_to_shared(shared.tile[rank]), &map, loaded, 0,
                                                static_cast<int>(rank) * 64, uint16_t{3});
    flags[rank] = ptx::ld_shared_cluster_u32(ptx::mapa(ptx::cvta_to_shared(&shared.flag), rank ^ 1));
    ptx::mbarrier_arrive_cluster(ptx::mapa(arrived, rank ^ 1));
  }
  ptx::mbarrier_wait_parity(loaded, 0);
  ptx::mbarrier_wait_parity(arrived, 0);
  float sum = 0;
  for (unsigned i = lane; i < 2 * 64 * 64; i += 32) {
    sum += static_cast<float>(shared.tile[i / 4096][i % 4096]) * static_cast<float>(i / 4096 + 1);
  }
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  if (lane == 0) sums[rank] = sum;
  ptx::barrier_cluster_arrive();
  ptx::barrier_cluster_wait();
}

void test_cluster() {
  std::vector<bf16> tensor(128 * 64);
  double expected = 0;
  for (size_t i = 0; i < tensor.size(); i++) {
    tensor[i] = bf16(static_cast<float>(static_cast<int>(i % 7) - 3));
    expected += double{static_cast<float>(tensor[i])} * static_cast<double>(i / 4096 + 1);
  }
  DeviceBuffer<bf16> device(tensor);
  DeviceBuffer<float> sums(2);
  DeviceBuffer<uint32_t> flags(2);
  ptx::TensorMap map;
  check_ok(ptx::make_tensor_map(map, device.data(), {2, {64, 128}, {128}, {64, 64}, ptx::Swizzle::b128}),
           "map");
  check_ok(launch(exchange_in_cluster,
                  {.grid = 2, .block = 32, .shared_bytes = sizeof(ClusterStorage), .cluster = 2}, map,
                  sums.data(), flags.data()),
           "cluster");
  const auto sum = sums.download();
  const auto flag = flags.download();
  check(sum[0] == expected && sum[1] == expected, "multicast reaches both blocks");
  check(flag[0] == 101 && flag[1] == 100, "distributed shared memory");
}

void test_refused_maps() {
  DeviceBuffer<bf16> device(64 * 64);
  ptx::TensorMap map;
  const ptx::TensorMapShape good{2, {64, 64}, {128}, {64, 16}, ptx::Swizzle::b128};
  const auto refused = [&](const bf16* base, auto change, const char* what) {
    ptx::TensorMapShape shape = good;
    change(shape);
    check(!ptx::make_tensor_map(map, base, shape).is_ok(), what);
  };
  check_ok(ptx::make_tensor_map(map, device.data(), good), "a good map");
  refused(
      device.data() + 1, [](auto&) {}, "misaligned base");
  refused(
      device.data(), [](auto& s) { s.stride_bytes[0] = 120; }, "stride is not a multiple of 16");
  refused(
      device.data(), [](auto& s) { s.box[0] = 72; }, "box wider than the swizzle span");
  refused(
      device.data(), [](auto& s) { s.box[1] = 257; }, "box above 256");
  refused(
      device.data(), [](auto& s) { s.box[0] = 4; }, "inner box below 16 bytes");
  refused(
      device.data(), [](auto& s) { s.rank = 6; }, "rank 6");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda::test;
  for (const BoxCase& c : kBoxCases) {
    test_load(c);
    test_store(c);
  }
  test_cluster();
  test_refused_maps();
  return report("emulator_tma");
}
