// What the emulator tells AddressSanitizer and ThreadSanitizer about fibers, asynchronous agents and shared
// memory. In a build without the sanitizer the functions are empty.
//
// Under ThreadSanitizer the emulator itself is compiled without instrumentation: its scheduling would
// otherwise look like synchronisation. It says explicitly which edges the GPU's memory model gives (acquire,
// release) and which memory an instruction touches (read, write, with the program counter of the kernel's
// call).
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define PADLESS_EMULATOR_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define PADLESS_EMULATOR_ASAN 0
#endif

#if PADLESS_EMULATOR_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_set_fiber_name(void* fiber, const char* name);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range_pc(void* address, unsigned long size, void* pc);
void __tsan_write_range_pc(void* address, unsigned long size, void* pc);
}
#endif

namespace padless::cuda::emulator::sanitizer {

// The caller of the function that uses this macro: a line of the kernel.
#define PADLESS_CALLER_PC __builtin_return_address(0)

#if PADLESS_EMULATOR_TSAN
constexpr bool kThread = true;
constexpr unsigned kNoSynchronisation = 1;
inline void acquire(const void* token) { __tsan_acquire(const_cast<void*>(token)); }
inline void release(const void* token) { __tsan_release(const_cast<void*>(token)); }
inline void read(const void* p, size_t bytes, void* pc) {
  __tsan_read_range_pc(const_cast<void*>(p), bytes, pc);
}
inline void write(const void* p, size_t bytes, void* pc) {
  __tsan_write_range_pc(const_cast<void*>(p), bytes, pc);
}
inline void* current_thread() { return __tsan_get_current_fiber(); }
inline void* create_thread(const char* name) {
  void* thread = __tsan_create_fiber(0);
  __tsan_set_fiber_name(thread, name);
  return thread;
}
inline void destroy_thread(void* thread) { __tsan_destroy_fiber(thread); }
inline void become_thread(void* thread) { __tsan_switch_to_fiber(thread, kNoSynchronisation); }
#else
constexpr bool kThread = false;
inline void acquire(const void*) {}
inline void release(const void*) {}
inline void read(const void*, size_t, void*) {}
inline void write(const void*, size_t, void*) {}
inline void* current_thread() { return nullptr; }
inline void* create_thread(const char*) { return nullptr; }
inline void destroy_thread(void*) {}
inline void become_thread(void*) {}
#endif

// Runs the enclosed scope as another ThreadSanitizer thread: the TMA engine, a warpgroup's tensor core, a
// stream.
class AsThread {
 public:
  explicit AsThread(void* thread) : previous_(current_thread()) { become_thread(thread); }
  ~AsThread() { become_thread(previous_); }
  AsThread(const AsThread&) = delete;
  AsThread& operator=(const AsThread&) = delete;

 private:
  void* previous_;
};

#if PADLESS_EMULATOR_ASAN
inline void poison(const void* p, size_t bytes) { __asan_poison_memory_region(p, bytes); }
inline void unpoison(const void* p, size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
// Touches the first bad byte, so that the report's stack is the kernel's at issue, not the copy's at
// completion.
inline void check_readable(const void* p, size_t bytes) {
  void* bad = __asan_region_is_poisoned(const_cast<void*>(p), bytes);
  if (bad != nullptr) static_cast<void>(*static_cast<const volatile char*>(bad));
}
#else
inline void poison(const void*, size_t) {}
inline void unpoison(const void*, size_t) {}
inline void check_readable(const void*, size_t) {}
#endif

}  // namespace padless::cuda::emulator::sanitizer
