// Which CUDA thread runs next. Every blocking instruction ends here.
#include <bit>

#include "cuda/emulator/state.h"
#include "cuda/emulator/tma_state.h"

namespace padless::cuda::emulator {
namespace {

constexpr uint64_t kPollsWithoutProgress = 2'000'000;
constexpr uint64_t kPicksPerPriorityChange = 512;

Warp* next_warp_in_order() {
  const size_t count = machine.active.size();
  if (machine.cursor >= count) machine.cursor = 0;
  while (machine.active[machine.cursor]->ready == 0) machine.cursor = (machine.cursor + 1) % count;
  return machine.active[machine.cursor];
}

Warp* random_warp() {
  const size_t count = machine.active.size();
  size_t i = random_bits() % count;
  while (machine.active[i]->ready == 0) i = (i + 1) % count;
  return machine.active[i];
}

Warp* most_urgent_warp() {
  Warp* best = nullptr;
  for (Warp* warp : machine.active) {
    if (warp->ready != 0 && (best == nullptr || warp->priority > best->priority)) best = warp;
  }
  if (random_bits() % kPicksPerPriorityChange == 0) best->priority = random_bits();
  return best;
}

unsigned random_lane(uint32_t ready) {
  const int rotation = static_cast<int>(random_bits() % kWarpSize);
  return static_cast<unsigned>(std::countr_zero(std::rotr(ready, rotation)) + rotation) % kWarpSize;
}

}  // namespace

uint64_t random_bits() {  // xorshift64*
  uint64_t& state = machine.random_state;
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1Dull;
}

bool schedule_is_random() { return options().schedule != Schedule::fifo; }

Fiber* pick_next() {
  machine.tick++;
  run_due_tma();
  if (machine.ready_count == 0) return nullptr;
  const Schedule schedule = options().schedule;
  Warp* warp = schedule == Schedule::fifo     ? next_warp_in_order()
               : schedule == Schedule::random ? random_warp()
                                              : most_urgent_warp();
  const unsigned lane =
      schedule_is_random() ? random_lane(warp->ready) : static_cast<unsigned>(std::countr_zero(warp->ready));
  warp->ready &= ~(1u << lane);
  machine.ready_count--;
  return warp->lanes[lane];
}

void make_ready(Fiber* fiber) {
  fiber->state = FiberState::ready;
  fiber->warp->ready |= 1u << fiber->context.lane;
  machine.ready_count++;
  machine.idle_polls = 0;
}

void reschedule() {
  Fiber* next = machine.return_to_host || !machine.failure.empty() ? nullptr : pick_next();
  switch_to(next != nullptr ? next : &machine.host);
}

void block_current(const Wait& wait) {
  machine.current->state = FiberState::blocked;
  machine.current->wait = wait;
  reschedule();
}

void maybe_preempt() {
  const double chance = options().preemption;
  if (chance <= 0 || !schedule_is_random()) return;
  if (static_cast<double>(random_bits() >> 11) * 0x1p-53 < chance) {
    make_ready(machine.current);
    reschedule();
  }
}

void yield_while_polling(CallSite where) {
  const uint64_t polls = machine.idle_polls + 1;
  if (polls > kPollsWithoutProgress) fail("LIVELOCK: polling without progress", where);
  make_ready(machine.current);
  machine.idle_polls = polls;
  reschedule();
}

}  // namespace padless::cuda::emulator
