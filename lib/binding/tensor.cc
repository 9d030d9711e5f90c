#include "lib/binding/tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace padless::binding {
namespace {

/** 2^53 bytes: beyond every address space, and sizes up to here are exact in JS. */
constexpr int64_t kMaxBytes = int64_t{1} << 53;

/** createTensor(stream, dtype, elements, source): `source` a typed array, or null for zeros. */
Napi::Value create_tensor(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader reader(env);
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const DType dtype = reader.dtype(info[1], "dtype");
  const int64_t elements = reader.integer(info[2], "shape");
  const bool zeros = info[3].IsNull();
  const std::span<const std::byte> source =
      zeros ? std::span<const std::byte>() : reader.bytes(info[3], "data");
  if (!reader.is_ok()) return reader.raise();

  Result<std::shared_ptr<Storage>> created = Storage::create(stream, dtype, elements);
  if (!created.is_ok()) return throw_status(env, created.status());
  const std::shared_ptr<Storage> storage = created.take();
  if (zeros) {
    stream->run({}, {storage}, [storage](Engine& engine, Stream& queue) {
      static constexpr std::byte kZeros[size_t{1} << 16] = {};
      for (size_t done = 0; done < storage->bytes(); done += sizeof(kZeros)) {
        PADLESS_RETURN_IF_ERROR(engine.copy_to_device(queue, static_cast<std::byte*>(storage->data()) + done,
                                                      kZeros,
                                                      std::min(sizeof(kZeros), storage->bytes() - done)));
      }
      return Status::ok();
    });
    return TensorHandle::wrap(env, storage);
  }
  if (source.size() != storage->bytes()) {
    return throw_status(
        env, Status(Code::kInvalidArgument, "data has another size than shape and dtype say", "data"));
  }
  // The caller may change the array as soon as this returns, so the copy is made here.
  HostBytes staged = HostBytes::allocate(source.size());
  if (!staged.data())
    return throw_status(env, Status(Code::kOutOfMemory, "no memory to copy data into", "data"));
  std::copy(source.begin(), source.end(), staged.data());
  stream->run(
      {}, {storage},
      [storage, staged = std::make_shared<HostBytes>(std::move(staged))](Engine& engine, Stream& queue) {
        return engine.copy_to_device(queue, storage->data(), staged->data(), staged->size());
      });
  return TensorHandle::wrap(env, storage);
}

}  // namespace

Storage::Storage(const std::shared_ptr<StreamState>& home, DType dtype, std::unique_ptr<Buffer> buffer)
    : Produced(home), device_(home->device()), dtype_(dtype), buffer_(std::move(buffer)) {
  device_->tensors += 1;
  device_->tensor_bytes += static_cast<int64_t>(bytes());
}

Storage::~Storage() {
  device_->tensors -= 1;
  device_->tensor_bytes -= static_cast<int64_t>(bytes());
}

Result<std::shared_ptr<Storage>> Storage::create(const std::shared_ptr<StreamState>& home, DType dtype,
                                                 int64_t elements) {
  const auto size = static_cast<int64_t>(dtype_size(dtype));
  PADLESS_CHECK(elements >= 0 && elements <= kMaxBytes / size, Code::kInvalidArgument, "shape", elements,
                " elements of ", dtype_name(dtype), " are more than memory can have");
  Result<std::unique_ptr<Buffer>> buffer = home->engine().allocate(static_cast<size_t>(elements * size));
  if (!buffer.is_ok()) return buffer.status();
  return std::shared_ptr<Storage>(new Storage(home, dtype, buffer.take()));
}

bool Storage::holds(int64_t rows, int64_t cols) const {
  const auto elements = static_cast<int64_t>(bytes() / dtype_size(dtype_));
  return cols == 0 || rows <= elements / cols;
}

void Storage::add_handle(Napi::Env env) {
  if (handles_++ == 0) Napi::MemoryManagement::AdjustExternalMemory(env, static_cast<int64_t>(bytes()));
}

void Storage::remove_handle(Napi::Env env) {
  if (--handles_ == 0) Napi::MemoryManagement::AdjustExternalMemory(env, -static_cast<int64_t>(bytes()));
}

/** read(stream): a promise for an ArrayBuffer with a copy of the storage. */
Napi::Value TensorHandle::read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto storage = object_or_throw(env);
  if (!storage) return env.Undefined();
  Reader reader(env);
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  if (!reader.is_ok()) return reader.raise();

  auto copy = std::make_shared<HostBytes>();
  return stream->run_async(
      env, {storage},
      [storage, copy](Engine& engine, Stream& queue) {
        *copy = HostBytes::allocate(storage->bytes());
        PADLESS_CHECK(copy->data() != nullptr, Code::kOutOfMemory, "", "no memory to read ", storage->bytes(),
                      " bytes into");
        return engine.copy_to_host(queue, copy->data(), storage->data(), storage->bytes());
      },
      [copy](Napi::Env env) { return to_array_buffer(env, std::move(*copy)); });
}

/** share(): another handle of the same storage. */
Napi::Value TensorHandle::share(const Napi::CallbackInfo& info) {
  const auto storage = object_or_throw(info.Env());
  return storage ? wrap(info.Env(), storage) : info.Env().Undefined();
}

Matrix read_matrix(Reader& reader, const std::shared_ptr<Storage>& storage, int64_t rows, int64_t cols,
                   const char* field) {
  if (!storage) return {};
  if (!storage->holds(rows, cols)) {
    reader.fail(
        Status(Code::kInvalidArgument, concat(field, " is smaller than [", rows, ", ", cols, "]"), field));
    return {};
  }
  return storage->matrix(rows, cols);
}

void init_tensor(Napi::Env env, Napi::Object exports) {
  TensorHandle::define(env, {TensorHandle::method<&TensorHandle::read>("read"),
                             TensorHandle::method<&TensorHandle::share>("share")});
  export_function<create_tensor>(env, exports, "createTensor");
}

}  // namespace padless::binding
