#include "lib/engine/cpu/rows/workspace.h"

#include "lib/engine/cpu/aligned_buffer.h"

namespace padless {

char* thread_workspace(size_t bytes) {
  thread_local AlignedBuffer memory;
  thread_local size_t capacity = 0;
  if (bytes > capacity) {
    memory = nullptr;
    memory = allocate_aligned(bytes);
    capacity = memory ? bytes : 0;
  }
  return memory.get();
}

}  // namespace padless
