// Memory of results: on cache lines, never two owners' at a time, kept for the next result while a model
// runs.
#include "lib/engine/cpu/host_bytes.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void test_nothing_is_kept_without_a_keeper() {
  check(HostBytes::allocate(4 * kMiB).size() == 4 * kMiB, "a size of its own");
  check(HostBytes::kept() == 0, "a block is kept although nobody runs models");
  const HostBytes empty = HostBytes::allocate(0);
  check(empty.data() != nullptr && empty.size() == 0, "no bytes are no failure");
  check(HostBytes::allocate(SIZE_MAX).data() == nullptr, "more memory than there is");
}

void test_blocks_come_again() {
  std::byte* first = nullptr;
  HostBytes outlives;
  {
    const HostBytes::Keeper keeper;
    {
      HostBytes bytes = HostBytes::allocate(4 * kMiB);
      first = bytes.data();
      check(reinterpret_cast<uintptr_t>(first) % 64 == 0, "a block off its cache line");
      HostBytes moved = std::move(bytes);
      check(HostBytes::kept() == 0 && moved.data() == first, "a moved block is kept");
    }
    check(HostBytes::kept() == 4 * kMiB, "a large block is not kept");
    { const HostBytes small = HostBytes::allocate(100); }
    check(HostBytes::kept() == 4 * kMiB, "a small block is kept");
    // A quarter may stay unused.
    check(HostBytes::allocate(4 * kMiB + 1).data() != first, "a block that is too small");
    check(HostBytes::allocate(2 * kMiB).data() != first, "a block of twice the size");
    outlives = HostBytes::allocate(3 * kMiB);
    check(outlives.data() == first && outlives.size() == 3 * kMiB, "a block that fits does not come again");
    check(HostBytes::allocate(3 * kMiB).data() != first, "a block with two owners");
  }
  check(HostBytes::kept() == 0, "blocks are kept after the last keeper");
  outlives = {};
  check(HostBytes::kept() == 0, "a block is kept after the last keeper");
}

void test_bound() {
  const HostBytes::Keeper keeper;
  {
    std::vector<HostBytes> many;
    for (int i = 0; i < 40; ++i) many.push_back(HostBytes::allocate(3 * kMiB));
    many.push_back(HostBytes::allocate(HostBytes::kMostKept + 1));
  }
  check(HostBytes::kept() == HostBytes::kMostKept / (3 * kMiB) * (3 * kMiB),
        concat(HostBytes::kept(), " bytes are kept"));
}

/** Each owner finds what it wrote, with others allocating and freeing at the same time. */
void test_threads() {
  const HostBytes::Keeper keeper;
  std::atomic<bool> overwritten = false;
  const auto work = [&](unsigned char mark) {
    std::vector<HostBytes> held(3);
    for (int round = 0; round < 200; ++round) {
      HostBytes& bytes = held[static_cast<size_t>(round % 3)];
      bytes = HostBytes::allocate(kMiB + static_cast<size_t>(round % 5) * 40'000);
      std::memset(bytes.data(), mark, bytes.size());
      for (const HostBytes& each : held) {
        for (size_t i = 0; i < each.size(); i += 4096) {
          if (each.data()[i] != std::byte{mark}) overwritten = true;
        }
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned char mark = 1; mark <= 4; ++mark) threads.emplace_back(work, mark);
  for (std::thread& thread : threads) thread.join();
  check(!overwritten, "another owner wrote into a block");
}

}  // namespace
}  // namespace padless::test

int main() {
  using namespace padless;
  test::test_nothing_is_kept_without_a_keeper();
  test::test_blocks_come_again();
  test::test_bound();
  test::test_threads();
  return test::finish();
}
