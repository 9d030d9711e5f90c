// mbarrier: arrivals and transaction bytes of a phase, held in the 8 bytes of shared memory that the kernel
// gives it.
#include "cuda/emulator/mbarrier_state.h"

#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"
#include "cuda/emulator/wgmma_state.h"

namespace padless::cuda::emulator {
namespace {

constexpr unsigned kMagic = 0xB5;
constexpr unsigned kMaxCount = 8191;                  // more threads than a cluster can have
constexpr unsigned kMaxTransaction = (1u << 20) - 1;  // bytes, PTX manual

Mbarrier* find(uint32_t address, const char* what, void* pc, CallSite where) {
  if (address % sizeof(Mbarrier) != 0) fail(std::string(what) + ": mbarrier is not 8-byte aligned", where);
  auto* barrier = reinterpret_cast<Mbarrier*>(resolve_shared(address, sizeof(Mbarrier), what, where));
  sanitizer::read(barrier, sizeof(Mbarrier), pc);
  if (barrier->magic != kMagic) {
    fail(std::string(what) + ": mbarrier is not initialised (or its memory was overwritten)", where);
  }
  return barrier;
}

void complete_phase_if_done(Mbarrier* barrier) {
  if (barrier->pending != 0 || barrier->transaction_bytes != 0) return;
  barrier->phase ^= 1;
  barrier->pending = barrier->expected;
  std::vector<Fiber*>& waiters = machine.mbarrier_waiters;
  for (size_t i = 0; i < waiters.size();) {
    Fiber* fiber = waiters[i];
    if (fiber->wait.object == barrier && barrier->phase != fiber->wait.parity) {
      make_ready(fiber);
      waiters[i] = waiters.back();
      waiters.pop_back();
    } else {
      i++;
    }
  }
}

// What the threads that arrived did is visible to the waiter, and what the TMA engine wrote is to its tensor
// core.
void acquire_phase(Mbarrier* barrier, unsigned parity) {
  sanitizer::acquire(thread_token(barrier, parity));
  acquire_as_tensor_core(*machine.current->warp, async_token(barrier, parity));
}

void check_wait(uint32_t address, unsigned parity, CallSite where) {
  if (address >> kClusterRankShift) fail("mbarrier wait on a remote barrier", where);
  if (parity > 1) fail("mbarrier wait: parity must be 0 or 1", where);
}

}  // namespace

const char* thread_token(const Mbarrier* barrier, unsigned parity) {
  return reinterpret_cast<const char*>(barrier) + parity;
}
const char* async_token(const Mbarrier* barrier, unsigned parity) {
  return reinterpret_cast<const char*>(barrier) + 2 + parity;
}

void mbarrier_init(uint32_t address, unsigned count, CallSite where) {
  maybe_preempt();
  if (address % sizeof(Mbarrier) != 0) fail("mbarrier.init: mbarrier is not 8-byte aligned", where);
  if (count == 0 || count > kMaxCount) fail("mbarrier.init: bad count", where);
  auto* barrier =
      reinterpret_cast<Mbarrier*>(resolve_shared(address, sizeof(Mbarrier), "mbarrier.init", where));
  sanitizer::write(barrier, sizeof(Mbarrier), PADLESS_CALLER_PC);
  barrier->magic = kMagic;
  barrier->phase = 0;
  barrier->expected = barrier->pending = count;
  barrier->transaction_bytes = 0;
}

void mbarrier_invalidate(uint32_t address, CallSite where) {
  Mbarrier* barrier = find(address, "mbarrier.inval", PADLESS_CALLER_PC, where);
  sanitizer::write(barrier, sizeof(Mbarrier), PADLESS_CALLER_PC);
  barrier->magic = 0;
}

void mbarrier_arrive(uint32_t address, unsigned count, unsigned expected_bytes, CallSite where) {
  maybe_preempt();
  Mbarrier* barrier = find(address, "mbarrier.arrive", PADLESS_CALLER_PC, where);
  if (expected_bytes > kMaxTransaction) fail("mbarrier: transaction count is too large", where);
  if (count > barrier->pending) {
    fail("mbarrier.arrive: more arrivals than the barrier expects in this phase", where);
  }
  sanitizer::release(thread_token(barrier, barrier->phase));
  barrier->transaction_bytes += int64_t{expected_bytes};
  barrier->pending -= count;
  complete_phase_if_done(barrier);
}

void complete_transaction(Mbarrier* barrier, unsigned bytes) {
  sanitizer::release(thread_token(barrier, barrier->phase));
  sanitizer::release(async_token(barrier, barrier->phase));
  barrier->transaction_bytes -= int64_t{bytes};
  complete_phase_if_done(barrier);
}

Mbarrier* check_mbarrier(uint32_t address, const char* what, CallSite where) {
  return find(address, what, PADLESS_CALLER_PC, where);
}

bool mbarrier_test_wait(uint32_t address, unsigned parity, CallSite where) {
  check_wait(address, parity, where);
  Mbarrier* barrier = find(address, "mbarrier.test_wait", PADLESS_CALLER_PC, where);
  if (barrier->phase == parity) {
    yield_while_polling(where);
    return false;
  }
  acquire_phase(barrier, parity);
  return true;
}

namespace {

// The instruction may give up before the phase completes, and does so at random: for all lanes that wait
// together.
bool times_out(Fiber* fiber, uint32_t address) {
  constexpr unsigned kOnceIn = 4;
  if (!schedule_is_random()) return false;
  uint64_t hash = options().seed * 0x9E3779B97F4A7C15ull + fiber->mbarrier_waits++;
  for (const uint64_t part : {uint64_t{fiber->context.warp}, uint64_t{address}}) {
    hash = (hash ^ part) * 0xBF58476D1CE4E5B9ull;
    hash ^= hash >> 31;
  }
  return hash % kOnceIn == 0;
}

}  // namespace

bool mbarrier_try_wait(uint32_t address, unsigned parity, CallSite where) {
  maybe_preempt();
  check_wait(address, parity, where);
  Mbarrier* barrier = find(address, "mbarrier.try_wait", PADLESS_CALLER_PC, where);
  if (barrier->phase == parity) {
    if (times_out(machine.current, address)) return false;
    machine.mbarrier_waiters.push_back(machine.current);
    block_current(
        {.what = kMbarrierWait, .where = where, .id = address, .parity = parity, .object = barrier});
  }
  acquire_phase(barrier, parity);
  return true;
}

}  // namespace padless::cuda::emulator
