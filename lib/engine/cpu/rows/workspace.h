// Scratch memory that a thread keeps from one call to the next.
#pragma once

#include <cstddef>

namespace padless {

/** At least `bytes`, aligned to a cache line, valid until the thread's next call; null if there is no memory.
 */
char* thread_workspace(size_t bytes);

}  // namespace padless
