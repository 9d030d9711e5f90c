// Where exceptions end: the standard library's, which are those of a memory that is short. No thread of the
// process and no caller in another language may see one.
#pragma once

#include <type_traits>
#include <utility>

#include "lib/core/status.h"

namespace padless {

/** Of the exception that is being handled: E_OUT_OF_MEMORY, or E_INTERNAL with what it says. */
Status status_of_exception() noexcept;

/** What `work` returns, a Status or Result, or the status of what it throws. */
template <class Work>
std::invoke_result_t<const Work&> guarded(const Work& work) noexcept {
  try {
    return work();
  } catch (...) {
    return status_of_exception();
  }
}

/** Of a lack of memory: `status` with what was `attempted` and the `fix`. Other statuses as they are. */
template <class... Attempted>
Status explained(Status status, const char* fix, const Attempted&... attempted) noexcept {
  if (status.code() != Code::kOutOfMemory) return status;
  try {
    return Status(Code::kOutOfMemory,
                  concat("no memory left to ", attempted..., " (", status.message(), "): ", fix),
                  status.field());
  } catch (...) {
    return status;
  }
}

}  // namespace padless
