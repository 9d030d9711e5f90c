#include "lib/binding/common.h"

#include <cmath>
#include <cstring>
#include <new>

namespace padless::binding {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

Status expected(const char* field, const char* what) {
  return Status(Code::kInvalidArgument, concat(field, " must be ", what), field);
}

void free_bytes(napi_env, void*, void* bytes) { delete static_cast<HostBytes*>(bytes); }

}  // namespace

Napi::Error make_error(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Value().Set("code", code_name(status.code()));
  if (!status.field().empty()) error.Value().Set("field", status.field());
  return error;
}

Napi::Value throw_status(Napi::Env env, const Status& status) {
  make_error(env, status).ThrowAsJavaScriptException();
  return env.Undefined();
}

EnvData& env_data(Napi::Env env) { return *env.GetInstanceData<EnvData>(); }

bool Reader::boolean(Napi::Value value, const char* field) {
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  fail(expected(field, "true or false"));
  return false;
}

double Reader::number(Napi::Value value, const char* field) {
  if (value.IsNumber()) return value.As<Napi::Number>().DoubleValue();
  fail(expected(field, "a number"));
  return 0;
}

int64_t Reader::integer(Napi::Value value, const char* field, int64_t low) {
  const double given = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (std::trunc(given) == given && std::abs(given) <= kMaxSafeInteger && given >= static_cast<double>(low)) {
    return static_cast<int64_t>(given);
  }
  fail(Status(Code::kInvalidArgument, concat(field, " must be an integer of at least ", low), field));
  return low;
}

std::string Reader::string(Napi::Value value, const char* field) {
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  fail(expected(field, "a string"));
  return {};
}

Napi::Object Reader::object(Napi::Value value, const char* field) {
  if (value.IsObject()) return value.As<Napi::Object>();
  fail(expected(field, "an object"));
  return Napi::Object::New(env_);
}

std::span<const std::byte> Reader::bytes(Napi::Value value, const char* field) {
  if (!value.IsTypedArray()) {
    fail(expected(field, "a typed array"));
    return {};
  }
  // Not through view.ArrayBuffer(): the memory may be a SharedArrayBuffer.
  void* data = nullptr;
  napi_get_typedarray_info(env_, value, nullptr, nullptr, &data, nullptr, nullptr);
  return {static_cast<const std::byte*>(data), value.As<Napi::TypedArray>().ByteLength()};
}

std::span<const int32_t> Reader::int32s(Napi::Value value, const char* field) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    const auto view = value.As<Napi::Int32Array>();
    return {view.Data(), view.ElementLength()};
  }
  fail(expected(field, "an Int32Array"));
  return {};
}

DType Reader::dtype(Napi::Value value, const char* field) {
  return one_of<DType>(value, field,
                       {{"f32", DType::kF32},
                        {"f16", DType::kF16},
                        {"bf16", DType::kBF16},
                        {"i32", DType::kI32},
                        {"i64", DType::kI64},
                        {"u8", DType::kU8}});
}

Napi::Value to_array_buffer(Napi::Env env, HostBytes bytes) {
  if (bytes.size() == 0) return Napi::ArrayBuffer::New(env, 0);
  auto owned = std::make_unique<HostBytes>(std::move(bytes));
  napi_value external = nullptr;
  const napi_status status =
      napi_create_external_arraybuffer(env, owned->data(), owned->size(), free_bytes, owned.get(), &external);
  if (status == napi_ok) {
    (void)owned.release();  // free_bytes has it now
    return Napi::Value(env, external);
  }
  Napi::ArrayBuffer copy = Napi::ArrayBuffer::New(env, owned->size());
  // Empty when memory is short, or when the environment is being terminated.
  if (!copy.IsEmpty()) std::memcpy(copy.Data(), owned->data(), owned->size());
  return copy;
}

}  // namespace padless::binding
