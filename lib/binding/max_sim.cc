#include "lib/encoder/max_sim.h"

#include <cstring>
#include <memory>
#include <vector>

#include "lib/binding/completion.h"
#include "lib/binding/ops.h"
#include "lib/binding/stream.h"

namespace padless::binding {
namespace {

/** Token vectors that JS cannot change while they are read. */
struct OwnedVectors {
  std::vector<float> data;
  std::vector<int32_t> cu_seqlens;

  TokenVectors view() const { return {data, cu_seqlens}; }
};

/** A Float32Array and its offsets, an Int32Array. */
OwnedVectors read_vectors(Reader& reader, Napi::Value data, Napi::Value cu_seqlens, const char* field) {
  OwnedVectors vectors;
  const std::span<const std::byte> bytes = reader.bytes(data, field);
  vectors.data.resize(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(vectors.data.data(), bytes.data(), vectors.data.size() * sizeof(float));
  const std::span<const int32_t> offsets = reader.int32s(cu_seqlens, field);
  vectors.cu_seqlens.assign(offsets.begin(), offsets.end());
  return vectors;
}

struct MaxSim {
  OwnedVectors queries, documents;
  int64_t dim = 0;
  HostBytes scores;
};

/** maxSim(stream, queries, cuQueries, documents, cuDocuments, dim): Promise of an ArrayBuffer, f32 [queries,
 * documents]. */
Napi::Value max_sim_scores(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto work = std::make_shared<MaxSim>();
  work->queries = read_vectors(reader, info[1], info[2], "queries");
  work->documents = read_vectors(reader, info[3], info[4], "documents");
  work->dim = reader.integer(info[5], "dim", 1);
  if (!reader.is_ok()) return reader.raise();
  for (const auto& [vectors, field] :
       {std::pair(work->queries.view(), "queries"), std::pair(work->documents.view(), "documents")}) {
    if (Status status = check(vectors, work->dim, field); !status.is_ok()) {
      return throw_status(info.Env(), status);
    }
  }
  return stream->run_async(
      info.Env(), {},
      [work, stream = stream.get()](Engine& engine, Stream& queue) -> Status {
        const TokenVectors queries = work->queries.view();
        const TokenVectors documents = work->documents.view();
        const auto count = static_cast<size_t>(queries.texts() * documents.texts());
        work->scores = HostBytes::allocate(count * sizeof(float));
        PADLESS_CHECK(work->scores.data() != nullptr || count == 0, Code::kOutOfMemory, "", "no memory for ",
                      count, " scores");
        return max_sim(engine, queue, queries, documents, work->dim,
                       reinterpret_cast<float*>(work->scores.data()), [&]() -> Status {
                         PADLESS_CHECK(!stream->is_cancelled(), Code::kAborted, "signal",
                                       "The thread of the call has ended.");
                         return Status::ok();
                       });
      },
      [work](Napi::Env env) { return to_array_buffer(env, std::move(work->scores)); });
}

}  // namespace

void init_max_sim(Napi::Env env, Napi::Object exports) {
  export_function<max_sim_scores>(env, exports, "maxSim");
}

}  // namespace padless::binding
