#include "lib/binding/encoder.h"

#include <cstring>
#include <optional>
#include <utility>

#include "lib/binding/batch.h"
#include "lib/binding/completion.h"
#include "lib/binding/encoder_spec.h"
#include "lib/binding/safetensors.h"
#include "lib/encoder/cache.h"
#include "lib/encoder/file_weights.h"
#include "lib/encoder/packed_cache.h"

namespace padless::binding {
namespace {

/** One run's inputs, owned, and its outputs. */
struct Run {
  HostBatch batch;
  std::vector<int32_t> skip, logit_rows, projection_rows;
  ForwardRequest request;
  HostBytes last_hidden_state, pooler_output, sentence_embedding, logits;
  std::vector<HostBytes> projections;
  SparseRows sparse;
  HostBytes sparse_offsets, sparse_indices, sparse_values;

  Status allocate(const Encoder& encoder) {
    const PackedBatch view = batch.view();
    const auto reserve = [](bool wanted, int64_t rows, int64_t cols, HostBytes& bytes) -> Status {
      if (!wanted) return Status::ok();
      const size_t size = static_cast<size_t>(rows) * static_cast<size_t>(cols) * sizeof(float);
      bytes = HostBytes::allocate(size);
      PADLESS_CHECK(bytes.data() != nullptr, Code::kOutOfMemory, "", "no memory for a result of ", size,
                    " bytes: ask for fewer outputs, or pass fewer tokens at a time (batchTokens)");
      return Status::ok();
    };
    const int64_t hidden = encoder.spec().hidden_size;
    PADLESS_RETURN_IF_ERROR(reserve(request.last_hidden_state, view.tokens(), hidden, last_hidden_state));
    PADLESS_RETURN_IF_ERROR(reserve(request.pooler_output, view.sequences(), hidden, pooler_output));
    PADLESS_RETURN_IF_ERROR(reserve(request.sentence_embedding, view.sequences(),
                                    encoder.embedding_width(request), sentence_embedding));
    if (request.projections) {
      for (const auto& projection : encoder.projections()) {
        const int64_t rows = projection->result_rows(view, request.projection_rows);
        PADLESS_RETURN_IF_ERROR(reserve(true, rows, projection->spec().width(), projections.emplace_back()));
      }
    }
    if (!request.logits) return Status::ok();
    const LogitsHead& head = *encoder.logits_head();
    return reserve(true, head.result_rows(view, request.logit_rows), head.spec().width(), logits);
  }

  ForwardResult result() {
    const auto floats = [](HostBytes& bytes) { return reinterpret_cast<float*>(bytes.data()); };
    ForwardResult result;
    result.last_hidden_state = floats(last_hidden_state);
    result.pooler_output = floats(pooler_output);
    result.sentence_embedding = floats(sentence_embedding);
    result.logits = floats(logits);
    for (HostBytes& projection : projections) result.projections.push_back(floats(projection));
    if (request.sparse) result.sparse = &sparse;
    return result;
  }

  /** Copies the sparse rows to where JS can take them over. */
  Status keep_sparse() {
    const auto copy = [](const auto& values, HostBytes& bytes) -> Status {
      const size_t size = values.size() * sizeof(values[0]);
      bytes = HostBytes::allocate(size);
      PADLESS_CHECK(bytes.data() != nullptr || size == 0, Code::kOutOfMemory, "",
                    "no memory for a result of ", size, " bytes");
      if (size > 0) std::memcpy(bytes.data(), values.data(), size);
      return Status::ok();
    };
    PADLESS_RETURN_IF_ERROR(copy(sparse.offsets, sparse_offsets));
    PADLESS_RETURN_IF_ERROR(copy(sparse.indices, sparse_indices));
    return copy(sparse.values, sparse_values);
  }
};

std::shared_ptr<Run> read_run(Reader& reader, Napi::Value batch, Napi::Value options) {
  auto run = std::make_shared<Run>();
  run->batch = *read_batch(reader, batch);
  const Napi::Object object = reader.object(options, "options");
  ForwardRequest& request = run->request;
  request.last_hidden_state = reader.boolean(object.Get("lastHiddenState"), "lastHiddenState");
  request.pooler_output = reader.boolean(object.Get("poolerOutput"), "poolerOutput");
  request.sentence_embedding = reader.boolean(object.Get("sentenceEmbedding"), "sentenceEmbedding");
  request.layers = reader.integer(object.Get("layers"), "layers");
  if (!object.Get("adapter").IsUndefined())
    request.adapter = reader.integer(object.Get("adapter"), "adapter");
  request.pooling = read_pooling(reader, object.Get("pooling"), "pooling");
  request.dimensions = reader.integer(object.Get("dimensions"), "dimensions");
  request.normalize = reader.boolean(object.Get("normalize"), "normalize");
  request.logits = reader.boolean(object.Get("logits"), "logits");
  if (!object.Get("keyCounts").IsUndefined()) {
    const std::span<const int32_t> counts = reader.int32s(object.Get("keyCounts"), "keyCounts");
    run->batch.key_counts.assign(counts.begin(), counts.end());
  }
  request.projections = reader.boolean(object.Get("projections"), "projections");
  if (!object.Get("projectionRows").IsUndefined()) {
    const std::span<const int32_t> rows = reader.int32s(object.Get("projectionRows"), "projectionRows");
    run->projection_rows.assign(rows.begin(), rows.end());
    request.projection_rows = run->projection_rows;
  }
  if (object.Get("sparse").IsObject()) {
    const Napi::Object sparse = object.Get("sparse").As<Napi::Object>();
    request.sparse = SparseOptions{reader.integer(sparse.Get("topK"), "topK"),
                                   static_cast<int>(reader.integer(sparse.Get("logs"), "logs"))};
  }
  if (!object.Get("logitRows").IsUndefined()) {
    const std::span<const int32_t> rows = reader.int32s(object.Get("logitRows"), "logitRows");
    run->logit_rows.assign(rows.begin(), rows.end());
    request.logit_rows = run->logit_rows;
  }
  if (!object.Get("skip").IsUndefined()) {
    const std::span<const int32_t> skip = reader.int32s(object.Get("skip"), "skip");
    run->skip.assign(skip.begin(), skip.end());
    request.skip = run->skip;
  }
  return run;
}

/** {name: {file, tensor, part?: {index, parts, groups}}} with file a safetensors handle. */
std::shared_ptr<FileWeights> read_weights(Reader& reader, Napi::Value value) {
  auto weights = std::make_shared<FileWeights>();
  const Napi::Object object = reader.object(value, "tensors");
  const Napi::Array names = object.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length() && reader.is_ok(); ++i) {
    const std::string name = reader.string(names.Get(i), "tensors");
    const Napi::Object location = reader.object(object.Get(name), "tensors");
    auto file = reader.handle<SafetensorsHandle>(location.Get("file"), "file");
    const std::string tensor = reader.string(location.Get("tensor"), "tensor");
    RowPart part;
    if (location.Get("part").IsObject()) {
      const Napi::Object rows = location.Get("part").As<Napi::Object>();
      part.index = reader.integer(rows.Get("index"), "part.index");
      part.parts = reader.integer(rows.Get("parts"), "part.parts", 1);
      part.groups = reader.integer(rows.Get("groups"), "part.groups", 1);
    }
    if (!reader.is_ok()) break;
    if (Status status = weights->add(name, std::move(file), tensor, part); !status.is_ok())
      reader.fail(std::move(status));
  }
  return weights;
}

/** loadEncoder(device, key, spec, tensors, ticket, cache: {path, key} | null): Promise<Encoder>. */
Napi::Value load_encoder(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto device = reader.handle<DeviceHandle>(info[0], "device");
  const std::string key = reader.string(info[1], "key");
  const EncoderSpec spec = read_spec(reader, reader.object(info[2], "spec"));
  const auto weights = read_weights(reader, info[3]);
  const auto ticket = reader.handle<TicketHandle>(info[4], "ticket");
  std::string cache_path, cache_key;
  if (info[5].IsObject()) {
    const Napi::Object cache = info[5].As<Napi::Object>();
    cache_path = reader.string(cache.Get("path"), "cache.path");
    cache_key = reader.string(cache.Get("key"), "cache.key");
  }
  if (!reader.is_ok()) return reader.raise();

  auto session = std::make_shared<EncoderSession>();
  const auto load = [device, spec, weights, ticket, session, cache_path, cache_key]() {
    std::optional<PackedCache> cache;
    auto* const packs = dynamic_cast<PackedLinearEngine*>(device->engine.get());
    if (!cache_path.empty() && packs) cache.emplace(*packs, cache_path, cache_key);
    auto encoder = Encoder::load(
        device->engine, spec, *weights, cache ? &*cache : nullptr,
        [ticket](int64_t done, int64_t total) {
          ticket->done = done;
          ticket->total = total;
        },
        [ticket] { return ticket->cancelled.load(); });
    if (cache && encoder.is_ok()) session->cache_warning = guarded([&] { return cache->write(); }).message();
    return encoder;
  };
  return run_in_background(
      info.Env(),
      [session, device, key, load]() -> Status {
        // Engines of one device may differ in their options, and one may have lost the device.
        auto encoder = EncoderCache::shared().get(concat(key, " on ", device->engine.get()), load);
        if (!encoder.is_ok()) return encoder.status();
        session->encoder = encoder.take();
        return Status::ok();
      },
      [session, device](Napi::Env env) -> Napi::Value {
        Result<std::shared_ptr<Stream>> stream = device->engine->create_stream();
        if (!stream.is_ok()) return throw_status(env, stream.status());
        session->stream = std::make_shared<StreamState>(device, stream.take());
        env_data(env).streams.emplace(session->stream.get(), session->stream);
        return EncoderHandle::wrap(env, session);
      });
}

Napi::Value create_ticket(const Napi::CallbackInfo& info) {
  return TicketHandle::wrap(info.Env(), std::make_shared<Ticket>());
}

}  // namespace

void TicketHandle::cancel(const Napi::CallbackInfo& info) {
  if (const auto ticket = object_or_throw(info.Env())) ticket->cancelled = true;
}

Napi::Value TicketHandle::progress(const Napi::CallbackInfo& info) {
  const auto ticket = object_or_throw(info.Env());
  if (!ticket) return info.Env().Undefined();
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0u, static_cast<double>(ticket->done));
  pair.Set(1u, static_cast<double>(ticket->total));
  return pair;
}

Napi::Value EncoderHandle::run(const Napi::CallbackInfo& info) {
  const auto session = object_or_throw(info.Env());
  if (!session) return info.Env().Undefined();
  Reader reader(info.Env());
  const auto run = read_run(reader, info[0], info[1]);
  const auto ticket = reader.handle<TicketHandle>(info[2], "ticket");
  if (!reader.is_ok()) return reader.raise();
  Encoder& encoder = *session->encoder;
  if (Status status = encoder.check_distances(run->batch.view()); !status.is_ok()) {
    return throw_status(info.Env(), status);
  }
  run->batch.positions = encoder.effective_positions(run->batch.view());
  if (Status status = encoder.check(run->batch.view(), run->request); !status.is_ok()) {
    return throw_status(info.Env(), status);
  }

  const Napi::Value promise = session->stream->run_async(
      info.Env(), {},
      [session, run, ticket](Engine&, Stream& queue) -> Status {
        const auto stopped = [&] {
          return ticket->cancelled || session->closed || session->stream->is_cancelled();
        };
        PADLESS_CHECK(!session->closed, Code::kDisposed, "Encoder",
                      "the model was disposed before the call ran");
        PADLESS_RETURN_IF_ERROR(run->allocate(*session->encoder));
        const Status status = session->encoder->forward(queue, session->spaces, run->batch.view(),
                                                        run->request, run->result(), stopped);
        PADLESS_CHECK(status.code() != Code::kAborted || ticket->cancelled || !session->closed,
                      Code::kDisposed, "Encoder", "the model was disposed while the call ran");
        PADLESS_RETURN_IF_ERROR(status);
        return run->request.sparse ? run->keep_sparse() : Status::ok();
      },
      [run](Napi::Env env) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        const auto set = [&](bool wanted, const char* name, HostBytes& bytes) {
          if (wanted) result.Set(name, to_array_buffer(env, std::move(bytes)));
        };
        set(run->request.last_hidden_state, "lastHiddenState", run->last_hidden_state);
        set(run->request.pooler_output, "poolerOutput", run->pooler_output);
        set(run->request.sentence_embedding, "sentenceEmbedding", run->sentence_embedding);
        set(run->request.logits, "logits", run->logits);
        if (run->request.projections) {
          Napi::Array projections = Napi::Array::New(env, run->projections.size());
          for (uint32_t i = 0; i < run->projections.size(); ++i) {
            projections.Set(i, to_array_buffer(env, std::move(run->projections[i])));
          }
          result.Set("projections", projections);
        }
        set(run->request.sparse.has_value(), "sparseOffsets", run->sparse_offsets);
        set(run->request.sparse.has_value(), "sparseIndices", run->sparse_indices);
        set(run->request.sparse.has_value(), "sparseValues", run->sparse_values);
        return result;
      });
  session->stream->engine().expect_forward();
  return promise;
}

Napi::Value EncoderHandle::cache_warning(const Napi::CallbackInfo& info) {
  const auto session = object_or_throw(info.Env());
  if (!session) return info.Env().Undefined();
  return Napi::String::New(info.Env(), session->cache_warning);
}

Napi::Value EncoderHandle::weight_bytes(const Napi::CallbackInfo& info) {
  const auto session = object_or_throw(info.Env());
  if (!session) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(session->encoder->weight_bytes()));
}

void EncoderHandle::on_release(Napi::Env env, EncoderSession& session) {
  session.closed = true;
  session.stream->dispose(env);
}

void init_encoder(Napi::Env env, Napi::Object exports) {
  TicketHandle::define(env, {TicketHandle::method<&TicketHandle::cancel>("cancel"),
                             TicketHandle::method<&TicketHandle::progress>("progress")});
  EncoderHandle::define(env, {EncoderHandle::method<&EncoderHandle::run>("run"),
                              EncoderHandle::method<&EncoderHandle::weight_bytes>("weightBytes"),
                              EncoderHandle::method<&EncoderHandle::cache_warning>("cacheWarning")});
  export_function<create_ticket>(env, exports, "createTicket");
  export_function<load_encoder>(env, exports, "loadEncoder");
}

}  // namespace padless::binding
