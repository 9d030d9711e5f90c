#include "lib/engine/cpu/rows/workspace.h"

#include "lib/engine/cpu/memory.h"

namespace padless {

char* thread_workspace(size_t bytes) {
  thread_local AlignedBlock memory;
  thread_local size_t capacity = 0;
  if (bytes > capacity) {
    memory = {};
    capacity = 0;
    // Rows of small pages far apart cost a walk of the page table each.
    const size_t whole = bytes < kHugePage / 4 ? bytes : (bytes + kHugePage - 1) / kHugePage * kHugePage;
    Result<AlignedBlock> block = AlignedBlock::allocate(whole);
    if (!block.is_ok()) return nullptr;
    memory = block.take();
    capacity = whole;
  }
  return static_cast<char*>(memory.data());
}

}  // namespace padless
