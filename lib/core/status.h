// Errors as values: a stable code, the field or file at fault, and a message that says the fix.
#pragma once

#include <cassert>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <variant>

namespace padless {

enum class Code {
  kOk,
  kInvalidArgument,  // E_INVALID_ARGUMENT: a call with a wrong type, shape, range or option
  kBadConfig,        // E_BAD_CONFIG: config.json or a pipeline file that contradicts itself or is incomplete
  kBadWeights,       // E_BAD_WEIGHTS: a weight file that is damaged, lies, or lacks a tensor
  kUnsupported,      // E_UNSUPPORTED: understood, but no code here computes it
  kTooLong,          // E_TOO_LONG: a sequence beyond the model's positions
  kNotFound,         // E_NOT_FOUND: a file or directory that is not there
  kDevice,           // E_DEVICE: the device is missing or failed
  kOutOfMemory,      // E_OUT_OF_MEMORY
  kAborted,          // E_ABORTED: the caller's signal
  kDisposed,         // E_DISPOSED: use after dispose
  kInternal,         // E_INTERNAL: a bug in padless
};

/** The stable name that TypeScript shows as `error.code`, such as "E_BAD_WEIGHTS". */
const char* code_name(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message, std::string field = {})
      : code_(code), message_(std::move(message)), field_(std::move(field)) {}

  static Status ok() { return {}; }
  bool is_ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  /** The option, config key, tensor or file at fault; empty where the message alone tells. */
  const std::string& field() const { return field_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
  std::string field_;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}        // NOLINT(runtime/explicit)
  Result(Status status) : state_(std::move(status)) {  // NOLINT(runtime/explicit)
    assert(!std::get<Status>(state_).is_ok());
  }
  bool is_ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return is_ok() ? Status::ok() : std::get<Status>(state_); }
  T& value() { return std::get<T>(state_); }
  const T& value() const { return std::get<T>(state_); }
  T take() { return std::move(std::get<T>(state_)); }

 private:
  std::variant<T, Status> state_;
};

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  text.exceptions(std::ios_base::badbit);  // or what finds no memory would be cut off in silence
  (text << ... << parts);
  return text.str();
}

}  // namespace padless

/** Returns from the calling function with the status, unless it is ok. */
#define PADLESS_RETURN_IF_ERROR(expression)               \
  do {                                                    \
    ::padless::Status padless_status_ = (expression);     \
    if (!padless_status_.is_ok()) return padless_status_; \
  } while (false)

/** Returns a Status of `code` about `field` with the concatenated message, unless `condition` holds. */
#define PADLESS_CHECK(condition, code, field, ...)                                           \
  do {                                                                                       \
    if (!(condition)) return ::padless::Status(code, ::padless::concat(__VA_ARGS__), field); \
  } while (false)
