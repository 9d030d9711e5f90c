#include "lib/core/guard.h"

#include <exception>
#include <new>
#include <stdexcept>

namespace padless {
namespace {

Status out_of_memory() noexcept {
  // Short enough for a string without memory of its own: there may be none left.
  return Status(Code::kOutOfMemory, "out of memory");
}

}  // namespace

Status status_of_exception() noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::length_error&) {
    return out_of_memory();  // more elements than any memory holds
  } catch (const std::exception& error) {
    try {
      return Status(Code::kInternal, concat("an unexpected exception: ", error.what(), "; please report it"));
    } catch (...) {
      return out_of_memory();
    }
  } catch (...) {
    return Status(Code::kInternal, "unknown error");
  }
}

}  // namespace padless
