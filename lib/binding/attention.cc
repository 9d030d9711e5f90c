#include <memory>
#include <utility>

#include "lib/binding/batch.h"
#include "lib/binding/ops.h"
#include "lib/binding/stream.h"
#include "lib/binding/tensor.h"

namespace padless::binding {
namespace {

/**
 * attention(stream, q, k, v, batch, {heads, kvHeads, headDim, scale, causal, windowLeft, windowRight, lse}):
 * {out: Tensor, lse: Tensor | null}. Windows of -1 are unlimited.
 */
Napi::Value attention(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Reader reader(env);
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto q = reader.handle<TensorHandle>(info[1], "q");
  const auto k = reader.handle<TensorHandle>(info[2], "k");
  const auto v = reader.handle<TensorHandle>(info[3], "v");
  const auto batch = read_batch(reader, info[4]);
  const Napi::Object options = reader.object(info[5], "options");
  AttentionArgs args;
  args.shape.heads = reader.integer(options.Get("heads"), "heads", 1);
  args.shape.kv_heads = reader.integer(options.Get("kvHeads"), "kvHeads", 1);
  args.shape.head_dim = reader.integer(options.Get("headDim"), "headDim", 1);
  args.scale = static_cast<float>(reader.number(options.Get("scale"), "scale"));
  args.span.causal = reader.boolean(options.Get("causal"), "span");
  args.span.window_left = reader.integer(options.Get("windowLeft"), "span", -1);
  args.span.window_right = reader.integer(options.Get("windowRight"), "span", -1);
  const bool wants_lse = reader.boolean(options.Get("lse"), "lse");
  if (!reader.is_ok()) return reader.raise();

  const int64_t tokens = batch->view().tokens();
  const int64_t query_cols = args.shape.heads * args.shape.head_dim;
  const int64_t key_cols = args.shape.kv_heads * args.shape.head_dim;
  args.q = read_matrix(reader, q, tokens, query_cols, "q");
  args.k = read_matrix(reader, k, tokens, key_cols, "k");
  args.v = read_matrix(reader, v, tokens, key_cols, "v");
  if (!reader.is_ok()) return reader.raise();

  auto created = Storage::create(stream, q->dtype(), tokens * query_cols);
  if (!created.is_ok()) return throw_status(env, created.status());
  const std::shared_ptr<Storage> out = created.take();
  args.out = out->matrix(tokens, query_cols);
  std::shared_ptr<Storage> lse;
  if (wants_lse) {
    auto created_lse = Storage::create(stream, DType::kF32, args.shape.heads * tokens);
    if (!created_lse.is_ok()) return throw_status(env, created_lse.status());
    lse = created_lse.take();
    args.lse = lse->matrix(args.shape.heads, tokens);
  }

  Operands outputs = {out};
  if (lse) outputs.push_back(lse);
  stream->run({q, k, v}, std::move(outputs), [args, batch](Engine& engine, Stream& queue) {
    auto prepared = engine.prepare(queue, batch->view(), args.shape);
    return prepared.is_ok() ? engine.attention(queue, *prepared.value(), args) : prepared.status();
  });
  Napi::Object result = Napi::Object::New(env);
  result.Set("out", TensorHandle::wrap(env, out));
  result.Set("lse", lse ? TensorHandle::wrap(env, lse) : env.Null());
  return result;
}

}  // namespace

void init_attention(Napi::Env env, Napi::Object exports) {
  export_function<attention>(env, exports, "attention");
}

}  // namespace padless::binding
