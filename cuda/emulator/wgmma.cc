// wgmma.mma_async, fence, commit_group and wait_group.
#include <algorithm>
#include <cmath>

#include "cuda/emulator/half_types.h"
#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"
#include "cuda/emulator/wgmma_state.h"

namespace padless::cuda::emulator {
namespace {

constexpr unsigned kWarpsInGroup = 4, kRowsOfWarp = 16, kMaxN = 256, kMaxK = 32;
constexpr uint32_t kFromRegisters = 1, kScaleD = 2, kTransposeA = 4, kTransposeB = 8;
constexpr unsigned kTypeShift = 4;  // the element type lies above the flags

struct IssueInput {  // of a lane
  float* registers;
  const uint32_t* a_registers;
  WgmmaSignature signature;
  void* pc;
};
static_assert(sizeof(IssueInput) <= kLaneSlotBytes);

// values[16][n] += a[16][depth] * b[depth][n]
#if !PADLESS_EMULATOR_ASAN
__attribute__((target_clones("avx512f", "arch=haswell", "default")))
#endif
void multiply_add(float* __restrict values, const float* __restrict a, const float* __restrict b, int n,
                  int depth) {
  for (int i = 0; i < 16; i++) {
    for (int k = 0; k < depth; k++) {
      const float factor = a[i * depth + k];
      for (int j = 0; j < n; j++) values[i * n + j] += factor * b[k * n + j];
    }
  }
}

void load_a_from_registers(const WgmmaOperation& operation, Element type, float* a) {
  for (unsigned lane = 0; lane < kWarpSize; lane++) {
    const uint32_t* r = operation.a_registers[lane];
    for (unsigned half = 0; half < 2; half++) {
      const unsigned group = lane / 4, pair = lane % 4 * 2 + half;
      const auto element = [&](unsigned i) {
        const auto bits = static_cast<uint16_t>(r[i] >> (16 * half));
        return type == Element::bf16 ? bf16_bits_to_float(bits) : fp16_bits_to_float(bits);
      };
      a[group * 16 + pair] = element(0);
      a[(group + 8) * 16 + pair] = element(1);
      a[group * 16 + pair + 8] = element(2);
      a[(group + 8) * 16 + pair + 8] = element(3);
    }
  }
}

void* tensor_core(Warp& warp) {
  void*& thread = warp.wgmma.tensor_core;
  if (thread == nullptr) thread = sanitizer::create_thread("tensor core");
  return thread;
}

void execute(Warp& warp, WgmmaOperation& operation) {
  if (operation.executed) return;
  operation.executed = true;
  static float a[16 * kMaxK], b[kMaxK * kMaxN];  // too large for a fiber's stack under the sanitizers
  const WgmmaSignature& s = operation.signature;
  const auto type = static_cast<Element>(s.flags >> kTypeShift);
  AccumulatorShadow& shadow = warp.wgmma.shadows[operation.shadow];
  {
    sanitizer::AsThread as_tensor_core(tensor_core(warp));
    sanitizer::acquire(&warp.block->proxy_token);
    if (s.flags & kFromRegisters) {
      load_a_from_registers(operation, type, a);
    } else {
      const unsigned first_row = warp.index % kWarpsInGroup * kRowsOfWarp;
      load_wgmma_a({s.descriptor_a, (s.flags & kTransposeA) != 0, type, operation.pc}, first_row, a);
    }
    load_wgmma_b({s.descriptor_b, (s.flags & kTransposeB) != 0, type, operation.pc},
                 static_cast<unsigned>(s.n), b);
    sanitizer::release(&warp.wgmma);
  }
  if (!(s.flags & kScaleD)) std::fill(shadow.values.begin(), shadow.values.end(), 0.0f);
  multiply_add(shadow.values.data(), a, b, s.n, static_cast<int>(wgmma_depth(type)));
}

// visit(shadow value, register) for every accumulator of the warp
template <class Visit>
void for_each_accumulator(AccumulatorShadow& shadow, Visit visit) {
  for (int lane = 0; lane < static_cast<int>(kWarpSize); lane++) {
    for (int i = 0; i < shadow.n / 2; i++) {
      const int row = lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
      visit(shadow.values[static_cast<size_t>(row * shadow.n + column)], shadow.registers[lane][i]);
    }
  }
}

unsigned find_or_open_shadow(WgmmaQueue& queue, const IssueInput* lanes[], CallSite where) {
  const int n = lanes[0]->signature.n;
  for (unsigned i = 0; i < kAccumulatorShadows; i++) {
    const AccumulatorShadow& shadow = queue.shadows[i];
    if (!shadow.in_use || shadow.registers[0] != lanes[0]->registers) continue;
    if (shadow.n != n) fail("wgmma: the same accumulators with another n in one group", where);
    return i;
  }
  for (unsigned i = 0; i < kAccumulatorShadows; i++) {
    AccumulatorShadow& shadow = queue.shadows[i];
    if (shadow.in_use) continue;
    shadow.in_use = true;
    shadow.n = n;
    shadow.values.resize(static_cast<size_t>(kRowsOfWarp * static_cast<unsigned>(n)));
    for (unsigned lane = 0; lane < kWarpSize; lane++) shadow.registers[lane] = lanes[lane]->registers;
    const bool hide = options().delayed_completion;  // a read before the wait gives NaN
    for_each_accumulator(shadow, [&](float& value, float& reg) {
      value = reg;
      if (hide) reg = __builtin_nanf("");
    });
    return i;
  }
  fail("wgmma: more than 8 accumulator arrays in flight", where);
}

void issue(const uint8_t* inputs, uint8_t*, void* context) {
  const CallSite where = *static_cast<const CallSite*>(context);
  Warp& warp = *machine.current->warp;
  WgmmaQueue& queue = warp.wgmma;
  const IssueInput* lanes[kWarpSize];
  for (unsigned i = 0; i < kWarpSize; i++) {
    lanes[i] = reinterpret_cast<const IssueInput*>(inputs + i * kLaneSlotBytes);
    if (lanes[i]->signature != lanes[0]->signature)
      fail("wgmma: descriptors or flags differ between lanes", where);
  }
  const WgmmaSignature& signature = lanes[0]->signature;
  WgmmaLogEntry& entry = warp.block->wgmma_log[warp.index / kWarpsInGroup][queue.issued % kWgmmaLogEntries];
  if (entry.number != queue.issued) {
    entry = {queue.issued, signature};
  } else if (entry.signature != signature) {
    fail("wgmma: the warps of the warpgroup issue different operations", where);
  }
  queue.issued++;
  if (queue.operations.size() == queue.operations.capacity())
    fail("wgmma: too many operations in flight", where);
  WgmmaOperation operation{find_or_open_shadow(queue, lanes, where), false, {}, signature, lanes[0]->pc};
  for (unsigned i = 0; i < kWarpSize; i++) operation.a_registers[i] = lanes[i]->a_registers;
  queue.operations.push_back(operation);
  queue.uncommitted++;
}

void commit(const uint8_t*, uint8_t*, void*) {
  Warp& warp = *machine.current->warp;
  WgmmaQueue& queue = warp.wgmma;
  queue.group_sizes.push_back(queue.uncommitted);
  queue.uncommitted = 0;
  queue.committed++;
  if (!options().delayed_completion || random_bits() % 2 == 0) {  // computed now, visible after the wait
    for (WgmmaOperation& operation : queue.operations) execute(warp, operation);
  }
  for (unsigned i = 0; i < kWarpsInGroup; i++) {
    Fiber*& waiter =
        warp.block->warps[warp.index / kWarpsInGroup * kWarpsInGroup + i]->wgmma.waiting_for_others;
    if (waiter != nullptr) make_ready(waiter);
    waiter = nullptr;
  }
}

// Operations in the groups before `target` that have not been retired.
size_t operations_before(const WgmmaQueue& queue, uint64_t target) {
  size_t count = 0;
  for (uint64_t group = queue.completed; group < target; group++)
    count += queue.group_sizes[group - queue.completed];
  return count;
}

void execute_until(Warp& warp, uint64_t target) {
  const size_t count = operations_before(warp.wgmma, target);
  for (size_t i = 0; i < count; i++) execute(warp, warp.wgmma.operations[i]);
}

// Elementwise: erase() would call memmove, which ThreadSanitizer intercepts.
template <class T>
void drop_front(std::vector<T>& values, size_t count) {
  const size_t left = values.size() - count;
  for (size_t i = 0; i < left; i++) values[i] = values[count + i];
  values.resize(left);
}

void retire_until(WgmmaQueue& queue, uint64_t target) {
  drop_front(queue.operations, operations_before(queue, target));
  drop_front(queue.group_sizes, target - queue.completed);
  queue.completed = target;
  for (unsigned i = 0; i < kAccumulatorShadows; i++) {
    AccumulatorShadow& shadow = queue.shadows[i];
    const bool referenced =
        std::any_of(queue.operations.begin(), queue.operations.end(),
                    [&](const WgmmaOperation& operation) { return operation.shadow == i; });
    if (!shadow.in_use || referenced) continue;
    for_each_accumulator(shadow, [](float& value, float& reg) { reg = value; });
    shadow.in_use = false;
  }
}

// With joint completion a group is complete only when the shares of all four warps are.
void wait(const uint8_t*, uint8_t*, void* context) {
  Warp& warp = *machine.current->warp;
  const auto in_flight = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(context));
  const uint64_t target = warp.wgmma.committed > in_flight ? warp.wgmma.committed - in_flight : 0;
  if (target <= warp.wgmma.completed) return;
  for (unsigned i = 0; options().joint_wgmma && i < kWarpsInGroup; i++) {
    Warp& other = *warp.block->warps[warp.index / kWarpsInGroup * kWarpsInGroup + i];
    while (other.wgmma.committed < target) {
      warp.wgmma.waiting_for_others = machine.current;
      block_current({.what = "wgmma.wait_group (other warps of the warpgroup have not committed)",
                     .where = machine.current->wait.where});
    }
    if (&other != &warp && other.wgmma.completed < target) execute_until(other, target);
  }
  execute_until(warp, target);
  retire_until(warp.wgmma, target);
}

}  // namespace

void acquire_as_tensor_core(Warp& warp, const void* token) {
  if (!sanitizer::kThread) return;
  sanitizer::AsThread as_tensor_core(tensor_core(warp));
  sanitizer::acquire(token);
}

void reset_wgmma(WgmmaQueue& queue) {
  constexpr size_t kOperations = 512, kGroups = 256;
  queue.operations.clear();
  queue.operations.reserve(kOperations);
  queue.group_sizes.clear();
  queue.group_sizes.reserve(kGroups);
  queue.committed = queue.completed = 0;
  queue.issued = queue.uncommitted = 0;
  queue.waiting_for_others = nullptr;
  for (AccumulatorShadow& shadow : queue.shadows) {
    shadow.in_use = false;
    shadow.values.reserve(kRowsOfWarp * kMaxN);
  }
}

void wgmma(const WgmmaCall& call, CallSite where) {
  if (!machine.current->wgmma_fenced) {
    fail("wgmma without a preceding wgmma.fence (registers were accessed since the last wait)", where);
  }
  if (machine.current->block->fibers.size() % (kWarpsInGroup * kWarpSize) != 0) {
    fail("wgmma: the block is not made of whole warpgroups", where);
  }
  if (call.n <= 0 || call.n % 8 != 0 || call.n > static_cast<int>(kMaxN)) fail("wgmma: bad n", where);
  const bool from_registers = call.a_registers != nullptr;
  const char* bad = check_descriptor(call.descriptor_b);
  if (bad == nullptr && !from_registers) bad = check_descriptor(call.descriptor_a);
  if (bad != nullptr) fail(bad, where);
  const uint32_t flags = (from_registers ? kFromRegisters : 0) | (call.scale_d ? kScaleD : 0) |
                         (call.transpose_a ? kTransposeA : 0) | (call.transpose_b ? kTransposeB : 0) |
                         static_cast<uint32_t>(call.type) << kTypeShift;
  const IssueInput input{call.accumulators,
                         call.a_registers,
                         {from_registers ? 0 : call.descriptor_a, call.descriptor_b, call.n, flags},
                         PADLESS_CALLER_PC};
  meet(~0u, {"wgmma.mma_async", true, issue, &where}, &input, sizeof(input), where);
}

void wgmma_fence(CallSite) { machine.current->wgmma_fenced = true; }

void wgmma_commit_group(CallSite where) {
  meet(~0u, {"wgmma.commit_group", true, commit}, nullptr, 0, where);
}

void wgmma_wait_group(unsigned in_flight, CallSite where) {
  machine.current->wait.where = where;
  meet(~0u, {"wgmma.wait_group", true, wait, reinterpret_cast<void*>(uintptr_t{in_flight})}, nullptr, 0,
       where);
  machine.current->wgmma_fenced = false;
  const Warp& warp = *machine.current->warp;
  if (!options().joint_wgmma) {
    sanitizer::acquire(&warp.wgmma);
    return;
  }
  for (unsigned i = 0; i < kWarpsInGroup; i++) {
    sanitizer::acquire(&warp.block->warps[warp.index / kWarpsInGroup * kWarpsInGroup + i]->wgmma);
  }
}

}  // namespace padless::cuda::emulator
