// cp.async: a copy lands at once, or with delayed completion at some moment before its group is waited for.
#include "cuda/emulator/sanitizer.h"
#include "cuda/emulator/state.h"

namespace padless::cuda::emulator {
namespace {

void land(PendingCopy& copy) {
  if (copy.landed) return;
  copy.landed = true;
  sanitizer::write(copy.destination, copy.bytes, copy.pc);
  uint32_t value[4] = {};
  if (copy.source_bytes != 0) {
    sanitizer::read(copy.source, copy.source_bytes, copy.pc);
    copy_bytes(value, copy.source, copy.source_bytes);
  }
  copy_bytes(copy.destination, value, copy.bytes);
}

}  // namespace

void cp_async(uint32_t destination, const void* source, unsigned bytes, unsigned source_bytes,
              CallSite where) {
  maybe_preempt();
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("cp.async: size must be 4, 8 or 16", where);
  if (source_bytes > bytes) fail("cp.async: source size is above the copy size", where);
  if (destination % bytes != 0) fail("cp.async: misaligned shared address", where);
  if (source_bytes != 0) {
    if (reinterpret_cast<uintptr_t>(source) % bytes != 0) fail("cp.async: misaligned global address", where);
    sanitizer::check_readable(source, source_bytes);
  }
  std::vector<PendingCopy>& copies = machine.current->copies;
  if (copies.size() == copies.capacity()) fail("cp.async: too many copies in flight for the emulator", where);
  copies.push_back({resolve_shared(destination, bytes, "cp.async", where),
                    static_cast<const uint8_t*>(source), static_cast<uint16_t>(bytes),
                    static_cast<uint16_t>(source_bytes), false, PADLESS_CALLER_PC});
  if (!options().delayed_completion || random_bits() % 2 == 0) land(copies.back());
}

void cp_async_commit_group() {
  Fiber* fiber = machine.current;
  if (fiber->copy_groups.size() == fiber->copy_groups.capacity()) {
    fail("cp.async: too many groups in flight for the emulator", CallSite::current());
  }
  fiber->copy_groups.push_back(static_cast<unsigned>(fiber->copies.size()));
}

void cp_async_wait_group(unsigned in_flight, CallSite) {
  maybe_preempt();
  Fiber* fiber = machine.current;
  std::vector<unsigned>& groups = fiber->copy_groups;
  if (groups.size() <= in_flight) return;
  const size_t done = groups.size() - in_flight;
  const unsigned end = groups[done - 1];
  for (unsigned i = 0; i < end; i++) land(fiber->copies[i]);
  // Elementwise moves: erase() would call memmove, which ThreadSanitizer intercepts.
  const size_t copies_left = fiber->copies.size() - end;
  for (size_t i = 0; i < copies_left; i++) fiber->copies[i] = fiber->copies[end + i];
  fiber->copies.resize(copies_left);
  for (size_t i = 0; i < in_flight; i++) groups[i] = groups[done + i] - end;
  groups.resize(in_flight);
}

}  // namespace padless::cuda::emulator
