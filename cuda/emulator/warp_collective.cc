// Lanes of a warp meet: shuffles, votes, __syncwarp, and the base of the matrix instructions.
#include <bit>
#include <cstring>

#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {
namespace {

uint32_t existing_lanes(const Warp& warp) {
  return warp.lane_count == kWarpSize ? ~0u : (1u << warp.lane_count) - 1;
}

Team& find_team(Warp& warp, uint32_t mask, uint32_t lane_bit, const char* name, CallSite where) {
  Team* found = nullptr;
  Team* idle = nullptr;
  for (unsigned i = 0; i < warp.team_count; i++) {
    Team& team = warp.teams[i];
    if (team.mask == mask) {
      found = &team;
    } else if (team.here == 0) {
      idle = &team;
    } else if ((team.mask & mask & lane_bit) != 0) {
      fail(std::string(name) + ": lane expected in a collective with another mask at " + describe(team.where),
           where);
    }
  }
  if (found != nullptr) return *found;
  if (warp.team_count < std::size(warp.teams)) idle = &warp.teams[warp.team_count++];
  if (idle == nullptr) fail(std::string(name) + ": too many masks in use at once", where);
  idle->mask = mask;
  idle->here = 0;
  return *idle;
}

void check_convergence(const Team& team, const Collective& collective, CallSite where) {
  const bool other_site = (collective.aligned || team.aligned) && !same_site(team.where, where);
  if (std::strcmp(team.name, collective.name) == 0 && !other_site) return;
  fail(std::string("DIVERGENT WARP: '") + collective.name + "' while other lanes of the warp wait in '" +
           team.name + "' at " + describe(team.where),
       where);
}

// Blocks until all lanes of the mask are here; returns the team and the generation whose tables are valid.
Team& gather(unsigned mask, const Collective& collective, const void* input, unsigned bytes, bool synchronise,
             unsigned& generation, CallSite where) {
  maybe_preempt();
  Fiber* fiber = machine.current;
  Warp& warp = *fiber->warp;
  const unsigned lane = fiber->context.lane;
  const uint32_t lane_bit = 1u << lane;
  statistics().collectives++;
  mask &= existing_lanes(warp);
  if ((mask & lane_bit) == 0)
    fail(std::string(collective.name) + ": calling lane is not in its own mask", where);
  Team& team = find_team(warp, mask, lane_bit, collective.name, where);
  if (team.here != 0) {
    check_convergence(team, collective, where);
  } else {
    team.name = collective.name;
    team.where = where;
    team.aligned = collective.aligned;
  }
  generation = team.generation & 1;
  if (synchronise) sanitizer::release(&team.token[generation]);
  team.here |= lane_bit;
  if (bytes != 0) copy_bytes(team.inputs[generation][lane], input, bytes);
  if (team.here == team.mask) {
    if (collective.combine != nullptr) {
      collective.combine(team.inputs[generation][0], team.outputs[generation][0], collective.context);
    }
    team.here = 0;
    team.generation++;
    for (uint32_t rest = mask & ~lane_bit; rest != 0; rest &= rest - 1) {
      make_ready(warp.lanes[std::countr_zero(rest)]);
    }
  } else {
    block_current({.what = collective.name, .where = where});
  }
  if (synchronise) sanitizer::acquire(&team.token[generation]);
  return team;
}

}  // namespace

const uint8_t* meet(unsigned mask, const Collective& collective, const void* input, unsigned bytes,
                    CallSite where) {
  unsigned generation = 0;
  Team& team = gather(mask, collective, input, bytes, false, generation, where);
  return collective.combine != nullptr ? team.outputs[generation][0] : team.inputs[generation][0];
}

// Unlike a shuffle, __syncwarp orders memory among the lanes.
void sync_warp(unsigned mask, CallSite where) {
  unsigned generation = 0;
  gather(mask, {"__syncwarp", false}, nullptr, 0, true, generation, where);
}

uint32_t ballot(unsigned mask, bool predicate, CallSite where) {
  const uint8_t vote = predicate ? 1 : 0;
  const uint8_t* table = meet(mask, {"vote", false}, &vote, 1, where);
  const uint32_t lanes = mask & existing_lanes(*machine.current->warp);
  uint32_t result = 0;
  for (unsigned lane = 0; lane < kWarpSize; lane++) {
    if ((lanes >> lane) & 1) result |= uint32_t{table[lane * kLaneSlotBytes]} << lane;
  }
  return result;
}

unsigned shuffle_source(unsigned mask, int operand, int width, ShuffleMode mode, CallSite where) {
  const int lane = static_cast<int>(this_thread->lane), first = lane & ~(width - 1),
            position = lane & (width - 1);
  int source = lane;
  switch (mode) {
    case ShuffleMode::index:
      source = first + (operand & (width - 1));
      break;
    case ShuffleMode::up:
      source = position >= operand ? lane - operand : lane;
      break;
    case ShuffleMode::down:
      source = position + operand < width ? lane + operand : lane;
      break;
    case ShuffleMode::exclusive_or:
      source = (lane ^ operand) < first + width ? lane ^ operand : lane;
      break;
  }
  const uint32_t lanes = mask & existing_lanes(*machine.current->warp);
  if (source < 0 || source >= static_cast<int>(kWarpSize) || ((lanes >> source) & 1) == 0) {
    fail("shfl reads lane " + std::to_string(source) + " which is not in the mask", where);
  }
  return static_cast<unsigned>(source);
}

}  // namespace padless::cuda::emulator
