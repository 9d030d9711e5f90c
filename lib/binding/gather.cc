#include <memory>
#include <utility>
#include <vector>

#include "lib/binding/ops.h"
#include "lib/binding/stream.h"
#include "lib/binding/tensor.h"

namespace padless::binding {
namespace {

/** gatherRows(stream, x, rows, cols, indices): Tensor, [indices.length, cols]; -1 gives a row of zeros. */
Napi::Value gather_rows(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto x = reader.handle<TensorHandle>(info[1], "x");
  const int64_t rows = reader.integer(info[2], "x");
  const int64_t cols = reader.integer(info[3], "x");
  const std::span<const int32_t> given = reader.int32s(info[4], "indices");
  const Matrix in = read_matrix(reader, x, rows, cols, "x");
  for (const int32_t index : given) {
    if (index < -1 || index >= rows) {
      reader.fail(Status(Code::kInvalidArgument, concat("there is no row ", index), "indices"));
      break;
    }
  }
  if (!reader.is_ok()) return reader.raise();

  std::vector<int32_t> indices(given.begin(), given.end());
  const auto count = static_cast<int64_t>(indices.size());
  auto created = Storage::create(stream, x->dtype(), count * cols);
  if (!created.is_ok()) return throw_status(info.Env(), created.status());
  const std::shared_ptr<Storage> out = created.take();
  stream->run({x}, {out},
              [in, result = out->matrix(count, cols), indices = std::move(indices)](
                  Engine& engine, Stream& queue) { return engine.gather_rows(queue, in, indices, result); });
  return TensorHandle::wrap(info.Env(), out);
}

}  // namespace

void init_gather(Napi::Env env, Napi::Object exports) {
  export_function<gather_rows>(env, exports, "gatherRows");
}

}  // namespace padless::binding
