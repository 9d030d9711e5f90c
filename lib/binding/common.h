// What every file of the binding shares: errors, argument readers, the data of an environment, native
// handles.
//
// Everything here belongs to the JS thread of one environment (the main thread or a worker), except where a
// comment says otherwise. Node-API without C++ exceptions: after a call that may throw in JS, return at once.
// What the standard library throws for lack of memory must not reach Node, which would end the process: all
// functions for JS go through call_guarded.
#pragma once

#include <napi.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/core/dtype.h"
#include "lib/core/guard.h"
#include "lib/core/status.h"
#include "lib/engine/cpu/host_bytes.h"

namespace padless::binding {

class Completion;
class StreamState;

/** A plain Error with own properties `code` and, where there is one, `field`; ts/errors.ts rebuilds it. */
Napi::Error make_error(Napi::Env env, const Status& status);

/** Throws make_error(status) in JS; to be returned from the native function. */
Napi::Value throw_status(Napi::Env env, const Status& status);

/** Per environment, so that workers share nothing by accident. Found through Napi::Env::GetInstanceData. */
struct EnvData {
  std::shared_ptr<Completion> completion;
  /** Streams until they are disposed and drained; what is left is cancelled when the environment ends. */
  std::unordered_map<StreamState*, std::shared_ptr<StreamState>> streams;
  /** Constructors of the handle classes, by their tags. */
  std::unordered_map<const napi_type_tag*, Napi::FunctionReference> constructors;
};

EnvData& env_data(Napi::Env env);

/** `function()`; what it throws in C++ is thrown in JS. */
template <class Function>
Napi::Value call_guarded(Napi::Env env, const Function& function) {
  try {
    return function();
  } catch (...) {
    return throw_status(env, status_of_exception());
  }
}

/** Makes `kFunction` a property of `exports`. */
template <Napi::Value (*kFunction)(const Napi::CallbackInfo&)>
void export_function(Napi::Env env, Napi::Object exports, const char* name) {
  const auto guarded_function = [](const Napi::CallbackInfo& info) {
    return call_guarded(info.Env(), [&] { return kFunction(info); });
  };
  exports.Set(name, Napi::Function::New(env, guarded_function, name));
}

/**
 * A Node-API class whose instances hold a shared native object. `Derived` has a static `kTag` and a static
 * `kName`; it may hide on_release(env, object), which runs on the JS thread when dispose() lets the object
 * go. For the garbage collector to run it too, Derived itself (node-addon-api looks no deeper) overrides
 * `void Finalize(Napi::Env env) override { release(env); }`.
 */
template <class Derived, class T>
class Handle : public Napi::ObjectWrap<Derived> {
 public:
  using Object = T;

  /** Scripts that reach the constructor get a disposed handle: only wrap() can pass an External. */
  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Derived>(info) {
    info.This().As<Napi::Object>().TypeTag(&Derived::kTag);
    if (info[0].IsExternal()) object_ = std::move(*info[0].As<Napi::External<std::shared_ptr<T>>>().Data());
  }

  static void define(Napi::Env env, std::vector<Napi::ClassPropertyDescriptor<Derived>> methods) {
    const auto dispose = static_cast<void (Derived::*)(const Napi::CallbackInfo&)>(&Handle::dispose);
    methods.push_back(Derived::InstanceMethod("dispose", dispose));
    const Napi::Function constructor = Derived::DefineClass(env, Derived::kName, methods);
    env_data(env).constructors[&Derived::kTag] = Napi::Persistent(constructor);
  }

  /** For define(): a method of Derived that JS may call. */
  template <auto kMethod>
  static Napi::ClassPropertyDescriptor<Derived> method(const char* name) {
    return Derived::InstanceMethod(
        name, static_cast<Napi::Value (Derived::*)(const Napi::CallbackInfo&)>(&Handle::call<kMethod>));
  }

  static Napi::Value wrap(Napi::Env env, std::shared_ptr<T> object) {
    return env_data(env).constructors[&Derived::kTag].New(
        {Napi::External<std::shared_ptr<T>>::New(env, &object)});
  }

  static Result<std::shared_ptr<T>> unwrap(Napi::Value value, const char* field) {
    PADLESS_CHECK(value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&Derived::kTag),
                  Code::kInvalidArgument, field, field, " must be a ", Derived::kName);
    std::shared_ptr<T> object = Napi::ObjectWrap<Derived>::Unwrap(value.As<Napi::Object>())->object_;
    PADLESS_CHECK(object != nullptr, Code::kDisposed, field, "the ", Derived::kName, " has been disposed");
    return object;
  }

  void dispose(const Napi::CallbackInfo& info) { release(info.Env()); }

 protected:
  /** The object, or null after dispose() with E_DISPOSED thrown in JS. */
  std::shared_ptr<T> object_or_throw(Napi::Env env) const {
    if (!object_) {
      throw_status(
          env, Status(Code::kDisposed, concat("the ", Derived::kName, " has been disposed"), Derived::kName));
    }
    return object_;
  }

  static void on_release(Napi::Env, T&) {}

  void release(Napi::Env env) {
    const std::shared_ptr<T> object = std::exchange(object_, nullptr);
    if (!object) return;
    const Status status = guarded([&] {
      Derived::on_release(env, *object);
      return Status::ok();
    });
    (void)status;  // without memory to end it now, the object ends with the environment
  }

 private:
  template <auto kMethod>
  Napi::Value call(const Napi::CallbackInfo& info) {
    return call_guarded(info.Env(), [&]() -> Napi::Value {
      if constexpr (std::is_void_v<decltype((static_cast<Derived*>(this)->*kMethod)(info))>) {
        (static_cast<Derived*>(this)->*kMethod)(info);
        return info.Env().Undefined();
      } else {
        return (static_cast<Derived*>(this)->*kMethod)(info);
      }
    });
  }

  std::shared_ptr<T> object_;
};

/**
 * Reads JS values into C++ ones. The first failure sticks, later reads return empty values:
 * read everything, then `if (!reader.is_ok()) return reader.raise();`. Getters of the objects read must not
 * throw: callers are ts/, which pass plain data.
 */
class Reader {
 public:
  explicit Reader(Napi::Env env) : env_(env) {}

  bool is_ok() const { return status_.is_ok(); }
  Napi::Value raise() const { return throw_status(env_, status_); }
  void fail(Status status) {
    if (status_.is_ok()) status_ = std::move(status);
  }

  bool boolean(Napi::Value value, const char* field);
  double number(Napi::Value value, const char* field);
  /** A safe integer of at least `low`. */
  int64_t integer(Napi::Value value, const char* field, int64_t low = 0);
  std::string string(Napi::Value value, const char* field);
  Napi::Object object(Napi::Value value, const char* field);
  /** Any typed array; valid until control returns to JS. */
  std::span<const std::byte> bytes(Napi::Value value, const char* field);
  /** An Int32Array; valid until control returns to JS. */
  std::span<const int32_t> int32s(Napi::Value value, const char* field);
  DType dtype(Napi::Value value, const char* field);

  template <class E>
  using Names = std::initializer_list<std::pair<const char*, E>>;
  template <class E>
  E one_of(Napi::Value value, const char* field, Names<E> names) {
    const std::string given = string(value, field);
    for (const auto& [name, result] : names) {
      if (given == name) return result;
    }
    fail(Status(Code::kInvalidArgument, concat(field, " cannot be \"", given, "\""), field));
    return names.begin()->second;
  }

  template <class Class>
  std::shared_ptr<typename Class::Object> handle(Napi::Value value, const char* field) {
    auto object = Class::unwrap(value, field);
    if (object.is_ok()) return object.take();
    fail(object.status());
    return nullptr;
  }
  /** null and undefined read as null. */
  template <class Class>
  std::shared_ptr<typename Class::Object> optional(Napi::Value value, const char* field) {
    return value.IsNull() || value.IsUndefined() ? nullptr : handle<Class>(value, field);
  }

 private:
  Napi::Env env_;
  Status status_;
};

/** An ArrayBuffer that takes the bytes over, or has a copy where the runtime refuses external memory
 * (Electron). */
Napi::Value to_array_buffer(Napi::Env env, HostBytes bytes);

}  // namespace padless::binding
