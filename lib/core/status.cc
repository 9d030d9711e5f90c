#include "lib/core/status.h"

namespace padless {

const char* code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "OK";
    case Code::kInvalidArgument:
      return "E_INVALID_ARGUMENT";
    case Code::kBadConfig:
      return "E_BAD_CONFIG";
    case Code::kBadWeights:
      return "E_BAD_WEIGHTS";
    case Code::kUnsupported:
      return "E_UNSUPPORTED";
    case Code::kTooLong:
      return "E_TOO_LONG";
    case Code::kNotFound:
      return "E_NOT_FOUND";
    case Code::kDevice:
      return "E_DEVICE";
    case Code::kOutOfMemory:
      return "E_OUT_OF_MEMORY";
    case Code::kAborted:
      return "E_ABORTED";
    case Code::kDisposed:
      return "E_DISPOSED";
    case Code::kInternal:
      return "E_INTERNAL";
  }
  return "E_INTERNAL";
}

}  // namespace padless
