// The TMA engine: cp.async.bulk.tensor loads (with multicast) and stores, box by box in 16-byte chunks.
#include "cuda/emulator/tma_state.h"

#include <algorithm>
#include <cstdlib>

#include "cuda/emulator/mbarrier_state.h"
#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {
namespace {

constexpr size_t kMaxInFlight = 1024;
constexpr unsigned kChunkBytes = 16, kSharedAlignment = 128;
constexpr uint64_t kLongestDelay = 2000;  // scheduler ticks
// Operations share a few ThreadSanitizer threads; one alone would order all of them.
constexpr size_t kEngineThreads = 8;

struct Engine {
  std::vector<TmaOperation> operations;
  unsigned in_flight = 0;
  void* threads[kEngineThreads] = {};
};
Engine& engine = *new Engine;

uint32_t row_pitch(const TensorMap& map) {
  // A swizzled row occupies the whole span even when the box is narrower.
  return std::max<uint32_t>(uint32_t{map.box[0]} * map.element_bytes, swizzle_span_bytes(map.swizzle));
}

uint32_t box_rows(const TensorMap& map) {
  uint32_t rows = 1;
  for (unsigned i = 1; i < map.rank; i++) rows *= map.box[i];
  return rows;
}

uint32_t box_bytes(const TensorMap& map) { return box_rows(map) * map.box[0] * map.element_bytes; }
uint32_t shared_extent(const TensorMap& map) { return box_rows(map) * row_pitch(map); }

// visit(shared offset, global address of the chunk, first and last + 1 byte inside the tensor)
template <class Visit>
void for_each_chunk(const TmaOperation& operation, Visit visit) {
  const TensorMap& map = operation.map;
  const uint32_t inner_bytes = uint32_t{map.box[0]} * map.element_bytes;
  const int64_t first_byte = int64_t{operation.coordinates[0]} * map.element_bytes;
  const int64_t row_bytes = static_cast<int64_t>(map.extent[0]) * map.element_bytes;
  for (uint32_t row = 0; row < box_rows(map); row++) {
    const auto* global = static_cast<const uint8_t*>(map.base);
    bool inside = true;
    uint32_t rest = row;
    for (unsigned d = 1; d < map.rank; d++) {
      const int64_t x = int64_t{operation.coordinates[d]} + rest % map.box[d];
      rest /= map.box[d];
      inside = inside && x >= 0 && x < static_cast<int64_t>(map.extent[d]);
      global += x * static_cast<int64_t>(map.stride_bytes[d]);
    }
    for (uint32_t byte = 0; byte < inner_bytes; byte += kChunkBytes) {
      const int64_t x = first_byte + byte;
      int64_t low = std::max<int64_t>(0, -x), high = std::min<int64_t>(kChunkBytes, row_bytes - x);
      if (!inside || high <= low) low = high = 0;
      visit(swizzle_address(operation.shared + row * row_pitch(map) + byte, map.swizzle), global + x,
            static_cast<unsigned>(low), static_cast<unsigned>(high));
    }
  }
}

void load_into(const TmaOperation& operation, Block& block) {
  for_each_chunk(operation, [&](uint32_t shared, const uint8_t* global, unsigned low, unsigned high) {
    uint8_t* destination = block.shared + (shared - kSharedWindowBase);
    uint8_t chunk[kChunkBytes] = {};
    if (high > low) sanitizer::read(global + low, high - low, operation.pc);
    for (unsigned i = low; i < high; i++) chunk[i] = global[i];
    sanitizer::write(destination, kChunkBytes, operation.pc);
    copy_bytes(destination, chunk, kChunkBytes);
  });
  auto* barrier = reinterpret_cast<Mbarrier*>(block.shared + (operation.mbarrier - kSharedWindowBase));
  complete_transaction(barrier, box_bytes(operation.map));
}

void run_load(const TmaOperation& operation) {
  sanitizer::acquire(operation.token);
  const auto& blocks = operation.block->cluster->blocks;
  for (unsigned rank = 0; rank < blocks.size(); rank++) {
    const bool receives =
        operation.multicast != 0 ? ((operation.multicast >> rank) & 1) != 0 : blocks[rank] == operation.block;
    if (receives) load_into(operation, *blocks[rank]);
  }
}

// The engine sees generic writes only through fence.proxy.async, hence the proxy's token and not the
// issuer's.
void run_store(const TmaOperation& operation) {
  sanitizer::acquire(&operation.block->proxy_token);
  for_each_chunk(operation, [&](uint32_t shared, const uint8_t* global, unsigned low, unsigned high) {
    if (high <= low) return;
    const uint8_t* source = operation.block->shared + (shared - kSharedWindowBase);
    sanitizer::read(source + low, high - low, operation.pc);
    sanitizer::write(global + low, high - low, operation.pc);
    for (unsigned i = low; i < high; i++) const_cast<uint8_t*>(global)[i] = source[i];
  });
  sanitizer::release(operation.issuer);
  sanitizer::release(operation.block);
}

void run(TmaOperation& operation) {
  operation.in_use = false;
  engine.in_flight--;
  const size_t index = static_cast<size_t>(&operation - engine.operations.data());
  void*& thread = engine.threads[index % kEngineThreads];
  if (thread == nullptr) thread = sanitizer::create_thread("TMA engine");
  sanitizer::AsThread as_engine(thread);
  operation.store ? run_store(operation) : run_load(operation);
  std::free(operation.token);  // by the engine, so that ThreadSanitizer forgets the token
  operation.token = nullptr;
}

void issue(TmaOperation& operation, const int* coordinates, unsigned rank, CallSite where) {
  const TensorMap& map = operation.map;
  if (map.magic != kTensorMapMagic) fail("TMA: not a tensor map", where);
  if (rank != map.rank) fail("TMA: the instruction's rank differs from the tensor map's", where);
  if (operation.shared % kSharedAlignment != 0) fail("TMA: shared address is not 128-byte aligned", where);
  resolve_shared(operation.shared, shared_extent(map), "TMA box", where);
  for (unsigned d = 0; d < rank; d++) operation.coordinates[d] = coordinates[d];
  operation.in_use = true;
  operation.block = machine.current->block;
  operation.issuer = machine.current;
  operation.shared &= kSharedOffsetMask;
  operation.due = machine.tick + (options().delayed_completion ? random_bits() % kLongestDelay : 0);
  if (sanitizer::kThread && !operation.store) {
    operation.token = std::malloc(1);
    sanitizer::release(operation.token);
  }
  for (TmaOperation& slot : engine.operations) {
    if (slot.in_use) continue;
    slot = operation;
    engine.in_flight++;
    if (!options().delayed_completion) run(slot);
    return;
  }
  fail("TMA: too many operations in flight for the emulator", where);
}

}  // namespace

void tma_load(uint32_t destination, const TensorMap* map, uint32_t mbarrier, const int* coordinates,
              unsigned rank, uint16_t multicast, CallSite where) {
  maybe_preempt();
  check_mbarrier(mbarrier, "TMA load's mbarrier", where);
  if (destination >> kClusterRankShift)
    fail("TMA load: destination must be an address of the own block", where);
  const size_t cluster = machine.current->block->cluster->blocks.size();
  if (multicast >> cluster) fail("TMA load: multicast mask names a block outside the cluster", where);
  const bool overlaps = machine.current->block->cluster->grid->programmatic;
  if (overlaps && !machine.current->waited_for_previous) statistics().early_loads++;
  TmaOperation operation{};
  operation.map = *map;
  operation.shared = destination;
  operation.mbarrier = mbarrier & kSharedOffsetMask;
  operation.multicast = multicast;
  operation.pc = PADLESS_CALLER_PC;
  issue(operation, coordinates, rank, where);
}

void tma_store(const TensorMap* map, uint32_t source, const int* coordinates, unsigned rank, CallSite where) {
  maybe_preempt();
  TmaOperation operation{};
  operation.map = *map;
  operation.store = true;
  operation.shared = source;
  operation.pc = PADLESS_CALLER_PC;
  issue(operation, coordinates, rank, where);
}

void tma_store_commit_group() {
  for (TmaOperation& operation : engine.operations) {
    if (operation.in_use && operation.store && operation.issuer == machine.current)
      operation.groups_committed++;
  }
}

void tma_store_wait_group(unsigned in_flight, CallSite) {
  maybe_preempt();
  for (TmaOperation& operation : engine.operations) {
    const bool mine = operation.in_use && operation.store && operation.issuer == machine.current;
    if (mine && operation.groups_committed > in_flight) run(operation);
  }
  sanitizer::acquire(machine.current);
}

// Generic-proxy writes of this thread become visible to the asynchronous proxy of its block's cluster.
void fence_proxy_async() {
  for (const Block* block : machine.current->block->cluster->blocks) sanitizer::release(&block->proxy_token);
}

void reset_tma() {
  engine.operations.resize(kMaxInFlight);
  for (TmaOperation& operation : engine.operations) operation.in_use = false;
  engine.in_flight = 0;
}

void run_due_tma() {
  if (engine.in_flight == 0) return;
  for (TmaOperation& operation : engine.operations) {
    if (operation.in_use && operation.due <= machine.tick) run(operation);
  }
}

bool run_any_tma() {
  if (engine.in_flight == 0) return false;
  uint64_t skip = random_bits() % engine.in_flight;
  for (TmaOperation& operation : engine.operations) {
    if (!operation.in_use || skip-- != 0) continue;
    run(operation);
    return true;
  }
  return false;
}

const char* drop_tma_of(const Cluster* cluster) {
  const char* left = nullptr;
  for (TmaOperation& operation : engine.operations) {
    if (engine.in_flight == 0) break;
    if (!operation.in_use || operation.block->cluster != cluster) continue;
    left = operation.store
               ? "a block exited while a TMA store was reading its shared memory (no wait_group)"
               : "a block exited while a TMA load was writing its shared memory (no mbarrier wait)";
    std::free(operation.token);
    operation.in_use = false;
    engine.in_flight--;
  }
  return left;
}

}  // namespace padless::cuda::emulator
