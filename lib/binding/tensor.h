// Tensors and packed weights as JS holds them: device memory that queued work keeps alive.
#pragma once

#include <napi.h>

#include <memory>

#include "lib/binding/common.h"
#include "lib/binding/stream.h"
#include "lib/core/matrix.h"
#include "lib/engine/engine.h"

namespace padless::binding {

/** Device memory of one dtype, filled by one op of its home stream. Tensors of other shapes may share it. */
class Storage : public Produced {
 public:
  /** E_OUT_OF_MEMORY, or E_INVALID_ARGUMENT for more elements than can be addressed. */
  static Result<std::shared_ptr<Storage>> create(const std::shared_ptr<StreamState>& home, DType dtype,
                                                 int64_t elements);
  ~Storage() override;

  DType dtype() const { return dtype_; }
  void* data() const { return buffer_->data(); }
  size_t bytes() const { return buffer_->bytes(); }
  bool holds(int64_t rows, int64_t cols) const;
  /** The storage must hold it. */
  Matrix matrix(int64_t rows, int64_t cols) const { return {data(), dtype_, rows, cols, cols}; }

  /** JS handles of this storage; the first and the last change what the garbage collector is told. JS thread.
   */
  void add_handle(Napi::Env env);
  void remove_handle(Napi::Env env);

 private:
  Storage(const std::shared_ptr<StreamState>& home, DType dtype, std::unique_ptr<Buffer> buffer);

  const std::shared_ptr<DeviceState> device_;
  const DType dtype_;
  const std::unique_ptr<Buffer> buffer_;
  int handles_ = 0;
};

class TensorHandle : public Handle<TensorHandle, Storage> {
 public:
  static constexpr const char* kName = "Tensor";
  static constexpr napi_type_tag kTag = {0x94e60b2d7fa1c853, 0xb03f8c71e5d2496a};
  using Handle::Handle;

  static Napi::Value wrap(Napi::Env env, std::shared_ptr<Storage> storage) {
    storage->add_handle(env);
    return Handle::wrap(env, std::move(storage));
  }

  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value share(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override { release(env); }
  static void on_release(Napi::Env env, Storage& storage) { storage.remove_handle(env); }
};

/** [rows, cols] of the storage; fails the reader, and has no data, where that is null or too small. */
Matrix read_matrix(Reader& reader, const std::shared_ptr<Storage>& storage, int64_t rows, int64_t cols,
                   const char* field);

void init_tensor(Napi::Env env, Napi::Object exports);

}  // namespace padless::binding
