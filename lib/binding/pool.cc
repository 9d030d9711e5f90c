#include <memory>
#include <utility>
#include <vector>

#include "lib/binding/batch.h"
#include "lib/binding/ops.h"
#include "lib/binding/stream.h"
#include "lib/binding/tensor.h"

namespace padless::binding {
namespace {

/** pool(stream, x, cols, batch, mode, skip | null): Tensor, f32 [B, cols]. */
Napi::Value pool(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto x = reader.handle<TensorHandle>(info[1], "x");
  const int64_t cols = reader.integer(info[2], "x");
  const auto batch = read_batch(reader, info[3]);
  PoolArgs args;
  args.mode = reader.one_of<PoolMode>(info[4], "mode",
                                      {{"cls", PoolMode::kCls},
                                       {"mean", PoolMode::kMean},
                                       {"max", PoolMode::kMax},
                                       {"lasttoken", PoolMode::kLastToken},
                                       {"weightedmean", PoolMode::kWeightedMean},
                                       {"mean_sqrt_len", PoolMode::kMeanSqrtLength}});
  std::vector<int32_t> skip;
  if (!info[5].IsNull()) {
    const std::span<const int32_t> given = reader.int32s(info[5], "skip");
    skip.assign(given.begin(), given.end());
  }
  if (!reader.is_ok()) return reader.raise();
  args.in = read_matrix(reader, x, batch->view().tokens(), cols, "x");
  if (!reader.is_ok()) return reader.raise();

  const int64_t sequences = batch->view().sequences();
  auto created = Storage::create(stream, DType::kF32, sequences * cols);
  if (!created.is_ok()) return throw_status(info.Env(), created.status());
  const std::shared_ptr<Storage> out = created.take();
  args.out = out->matrix(sequences, cols);
  stream->run({x}, {out}, [args, batch, skip = std::move(skip)](Engine& engine, Stream& queue) mutable {
    args.skip = skip;
    auto prepared =
        engine.prepare(queue, batch->view(), {.heads = 1, .kv_heads = 1, .head_dim = args.in.cols});
    return prepared.is_ok() ? engine.pool(queue, *prepared.value(), args) : prepared.status();
  });
  return TensorHandle::wrap(info.Env(), out);
}

}  // namespace

void init_pool(Napi::Env env, Napi::Object exports) { export_function<pool>(env, exports, "pool"); }

}  // namespace padless::binding
