// Blocks of packed weights: zeros on cache lines, of their own, whose pages go back to the system one by one.
#include "lib/engine/cpu/weight_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

bool all_are(const WeightBlock& block, size_t bytes, char value) {
  return std::all_of(block.get(), block.get() + bytes, [value](char byte) { return byte == value; });
}

/** Whether the page that `memory` lies in is in memory now. */
bool is_resident(const char* memory) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char state = 0;
  void* start = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(memory) / page * page);
#if defined(__APPLE__)
  return mincore(start, page, reinterpret_cast<char*>(&state)) == 0 && (state & 1) != 0;
#else
  return mincore(start, page, &state) == 0 && (state & 1) != 0;
#endif
}

void test_blocks_are_zero_aligned_and_apart() {
  struct Written {
    WeightBlock block;
    size_t bytes;
    char value;
  };
  std::vector<Written> blocks;
  auto random = generator(1);
  for (int i = 0; i < 60; ++i) {
    const size_t bytes = i == 30 ? size_t{70} << 20 : 1 + random() % (size_t{3} << 20);
    WeightBlock block = WeightBlock::allocate(bytes);
    check(static_cast<bool>(block), "a block is refused");
    check(reinterpret_cast<uintptr_t>(block.get()) % 64 == 0, "a block begins within a cache line");
    check(all_are(block, bytes, 0), "a block is not zero");
    const char value = static_cast<char>(i + 1);
    std::memset(block.get(), value, bytes);
    blocks.push_back({std::move(block), bytes, value});
    if (i % 3 == 2) blocks.erase(blocks.begin() + static_cast<int64_t>(random() % blocks.size()));
  }
  for (const Written& written : blocks) {
    check(all_are(written.block, written.bytes, written.value), "a block was changed by another's end");
  }
}

void test_pages_go_back_before_the_neighbours() {
  const size_t bytes = size_t{5} << 20;
  WeightBlock before = WeightBlock::allocate(bytes);
  WeightBlock block = WeightBlock::allocate(bytes);
  WeightBlock after = WeightBlock::allocate(bytes);
  for (const WeightBlock* each : {&before, &block, &after}) std::memset(each->get(), 7, bytes);
  const char* middle = block.get() + bytes / 2;
  check(is_resident(middle), "a block that was written is not in memory");
  block = WeightBlock();
  check(!is_resident(middle), "the pages of a dropped block stay");
  check(all_are(before, bytes, 7) && all_are(after, bytes, 7), "dropping a block changes its neighbours");
}

void test_moves_and_borrows() {
  const std::vector<char> values(100, 3);
  WeightBlock borrowed = WeightBlock::borrow(values.data(), values.size());
  check(borrowed.get() == values.data(), "a borrowed block lies elsewhere");
  WeightBlock moved = std::move(borrowed);
  check(moved && !borrowed, "a move leaves both or none");
  moved = WeightBlock();
  check(values[0] == 3, "dropping a borrowed block changes its memory");
  check(!WeightBlock::allocate(0) && !WeightBlock::borrow(values.data(), 0),
        "a block of nothing is not empty");
  check(!WeightBlock::allocate(SIZE_MAX) && !WeightBlock::allocate(SIZE_MAX / 4),
        "an absurd size is not refused");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless;
  test::start(argc, argv);
  test::test_blocks_are_zero_aligned_and_apart();
  test::test_pages_go_back_before_the_neighbours();
  test::test_moves_and_borrows();
  return test::finish();
}
