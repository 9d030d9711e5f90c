// Linked with --wrap for the functions of the C library.
#include "test/native/failing_memory.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <new>

namespace padless::test {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

std::atomic<int64_t> asked{0};
std::atomic<int64_t> fails_from{kNever};
std::atomic<int64_t> fails_to{kNever};

bool fails_now() {
  if (fails_from.load(std::memory_order_relaxed) == kNever) return false;
  const int64_t number = asked.fetch_add(1, std::memory_order_relaxed);
  return number >= fails_from.load(std::memory_order_relaxed) &&
         number < fails_to.load(std::memory_order_relaxed);
}

void* allocate(size_t bytes, size_t alignment) noexcept {
  void* memory = nullptr;
  if (fails_now() || posix_memalign(&memory, alignment, bytes > 0 ? bytes : 1) != 0) return nullptr;
  return memory;
}

void* allocate_or_throw(size_t bytes, size_t alignment) {
  if (void* memory = allocate(bytes, alignment)) return memory;
  throw std::bad_alloc();
}

}  // namespace

FailingMemory::FailingMemory(int64_t first, Failing failing) {
  asked = 0;
  fails_to = failing == Failing::kOne ? first + 1 : kNever;
  fails_from = first;
}

FailingMemory::~FailingMemory() { fails_from = kNever; }

bool FailingMemory::has_failed() const { return asked > fails_from; }

}  // namespace padless::test

constexpr size_t kPlain = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

void* operator new(size_t bytes) { return padless::test::allocate_or_throw(bytes, kPlain); }
void* operator new[](size_t bytes) { return padless::test::allocate_or_throw(bytes, kPlain); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return padless::test::allocate_or_throw(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return padless::test::allocate_or_throw(bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return padless::test::allocate(bytes, kPlain);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return padless::test::allocate(bytes, kPlain);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

extern "C" {

void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return padless::test::allocate(bytes, alignment);
}

void* __real_mmap(void* address, size_t bytes, int protection, int flags, int descriptor, off_t offset);
void* __wrap_mmap(void* address, size_t bytes, int protection, int flags, int descriptor, off_t offset) {
  if (padless::test::fails_now()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return __real_mmap(address, bytes, protection, flags, descriptor, offset);
}
}
