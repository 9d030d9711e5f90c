// Fibers: a stack each, a switch of six registers, and what the sanitizers must hear about it.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

#if !defined(__x86_64__)
#error "the emulator's context switch is written for x86-64 only"
#endif

extern "C" void padless_switch_context(void** save_stack_pointer, void* load_stack_pointer);
asm(R"(
.text
.globl padless_switch_context
.type padless_switch_context,@function
padless_switch_context:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size padless_switch_context,.-padless_switch_context
)");

namespace padless::cuda::emulator {
namespace {

constexpr size_t kStackBytes = (PADLESS_EMULATOR_ASAN || sanitizer::kThread ? 256 : 128) * 1024;
constexpr size_t kPage = 4096;
constexpr int kSavedRegisters = 6;

[[noreturn]] void fiber_main() {
#if PADLESS_EMULATOR_ASAN
  const void* bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (machine.host_stack == nullptr) {
    machine.host_stack = bottom;
    machine.host_stack_bytes = bytes;
  }
#endif
  Fiber* fiber = machine.current;
  Cluster* cluster = fiber->block->cluster;
  sanitizer::acquire(cluster->grid->start_token);
  sanitizer::acquire(fiber->block);
  cluster->grid->body->run();
  sanitizer::release(&fiber->block->finished_token);
  fiber->state = FiberState::done;
  if (--fiber->block->live == 0) launch_dependents();
  if (--cluster->live == 0) machine.return_to_host = true;
  reschedule();
  std::abort();
}

uint8_t* allocate_stack() {
  void* memory = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kPage, PROT_NONE) != 0) {
    std::perror("emulator: no memory for a fiber's stack");
    std::abort();
  }
  return static_cast<uint8_t*>(memory) + kPage;
}

}  // namespace

void prepare_fiber(Fiber* fiber) {
  if (fiber->stack == nullptr) fiber->stack = allocate_stack();
  if (fiber->sanitizer_thread == nullptr) fiber->sanitizer_thread = sanitizer::create_thread("CUDA thread");
  sanitizer::unpoison(fiber->stack, kStackBytes);
  // The ABI wants rsp % 16 == 8 at a function's entry; a null return address stops unwinders.
  void** top = reinterpret_cast<void**>(fiber->stack + kStackBytes) - 7;
  *top = nullptr;
  *--top = reinterpret_cast<void*>(&fiber_main);
  for (int i = 0; i < kSavedRegisters; i++) *--top = nullptr;
  fiber->stack_pointer = top;
  fiber->fake_stack = nullptr;
  fiber->state = FiberState::blocked;
  fiber->wait = Wait{};
  fiber->wait.what = "start";
  fiber->copies.clear();
  fiber->copy_groups.clear();
  fiber->cluster_phase = 0;
  fiber->wgmma_fenced = fiber->waited_for_previous = false;
  fiber->mbarrier_waits = 0;
}

void switch_to(Fiber* next) {
  Fiber* previous = machine.current;
  if (previous == next) return;
  statistics().switches++;
  machine.current = next;
  this_thread = &next->context;
  sanitizer::become_thread(next->sanitizer_thread);
#if PADLESS_EMULATOR_ASAN
  const bool to_host = next == &machine.host,
             for_good = previous->state == FiberState::done && previous->block;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &previous->fake_stack,
                                 to_host ? machine.host_stack : next->stack,
                                 to_host ? machine.host_stack_bytes : kStackBytes);
#endif
  padless_switch_context(&previous->stack_pointer, next->stack_pointer);
#if PADLESS_EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(previous->fake_stack, nullptr, nullptr);
#endif
}

}  // namespace padless::cuda::emulator
