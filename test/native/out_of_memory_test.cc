// Memory that is refused at every place in turn, while an encoder loads and runs: a coded error or the right
// bits, never an end of the process, a thread that waits for ever, or a model that is of no use afterwards.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>

#include "lib/core/guard.h"
#include "lib/core/thread_pool.h"
#include "lib/encoder/encoder.h"
#include "lib/encoder/file_weights.h"
#include "lib/encoder/packed_cache.h"
#include "lib/engine/cpu/cpu_engine.h"
#include "lib/engine/cpu/stream.h"
#include "test/native/failing_memory.h"
#include "test/native/safetensors_fixture.h"

namespace padless::test {
namespace {

using Failing = FailingMemory::Failing;

constexpr int kThreads = 3;
constexpr int64_t kHidden = 32;
constexpr int64_t kInner = 72;
constexpr int64_t kVocabulary = 50;

EncoderSpec small_encoder(ComputeType compute) {
  EncoderSpec spec;
  spec.hidden_size = kHidden;
  spec.attention = {.heads = 2, .kv_heads = 2, .head_dim = kHidden / 2};
  spec.attention_scale = 0.25f;
  spec.vocab_size = kVocabulary;
  spec.embeddings.width = kHidden;
  spec.mlp.intermediate_size = kInner;
  RopeSpec& rope = spec.ropes.emplace_back();
  rope.rotary_dim = kHidden / 2;
  rope.frequencies = {1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005};
  for (int64_t i = 0; i < 2; ++i) {
    LayerSpec& layer = spec.layers.emplace_back();
    layer.weights = i;
    layer.rope = 0;
  }
  spec.pooler = true;
  spec.pooling = {PoolMode::kMean};
  spec.compute = compute;
  return spec;
}

/** The encoder's tensors under padless's own names, seeded. */
std::string write_weights() {
  std::map<std::string, std::vector<int64_t>> shapes = {{"embeddings.word", {kVocabulary, kHidden}}};
  const auto norm = [&](const std::string& name) {
    shapes[name + ".gamma"] = shapes[name + ".beta"] = {kHidden};
  };
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    shapes[name + ".weight"] = {out, in};
    shapes[name + ".bias"] = {out};
  };
  norm("embeddings.norm");
  linear("pooler", kHidden, kHidden);
  for (const std::string layer : {"layers.0.", "layers.1."}) {
    for (const char* name : {"query", "key", "value", "output"}) {
      linear(concat(layer, "attention.", name), kHidden, kHidden);
    }
    linear(layer + "mlp.up", kHidden, kInner);
    linear(layer + "mlp.down", kInner, kHidden);
    norm(layer + "attention.norm");
    norm(layer + "mlp.norm");
  }
  std::mt19937_64 random(7);
  std::normal_distribution<float> normal(0.f, 0.2f);
  std::string json, data;
  for (const auto& [name, shape] : shapes) {
    const size_t begin = data.size();
    for (int64_t i = 0; i < shape[0] * (shape.size() > 1 ? shape[1] : 1); ++i) {
      const float value = normal(random);
      data.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    const std::string text =
        shape.size() > 1 ? concat("[", shape[0], ",", shape[1], "]") : concat("[", shape[0], "]");
    json += json.empty() ? "{" : ",";
    json += entry(name, "F32", text, concat("[", begin, ",", data.size(), "]"));
  }
  return write_file("model.safetensors", file_of(json + "}", data));
}

/** Opens the file, loads the encoder, and writes the cache file if there is to be one. */
Result<std::shared_ptr<Encoder>> load(const std::shared_ptr<Engine>& engine, const EncoderSpec& spec,
                                      const std::string& path, const std::string& cache_path) {
  auto opened = SafetensorsFile::open(path);
  if (!opened.is_ok()) return opened.status();
  FileWeights weights;
  for (const SafetensorsEntry& each : opened.value()->entries()) {
    PADLESS_RETURN_IF_ERROR(weights.add(each.name, opened.value(), each.name, {}));
  }
  std::optional<PackedCache> cache;
  if (!cache_path.empty()) cache.emplace(dynamic_cast<PackedLinearEngine&>(*engine), cache_path, "key");
  auto encoder = Encoder::load(engine, spec, weights, cache ? &*cache : nullptr, {}, [] { return false; });
  if (cache && encoder.is_ok()) PADLESS_RETURN_IF_ERROR(cache->write());
  return encoder;
}

/** A batch, and what a forward over it gives. */
struct Run {
  std::vector<int32_t> ids, positions, cu_seqlens = {0};
  std::vector<float> hidden, pooled, embedding;

  explicit Run(const std::vector<int32_t>& lengths) {
    for (const int32_t length : lengths) {
      for (int32_t i = 0; i < length; ++i) {
        ids.push_back((7 * i + length) % kVocabulary);
        positions.push_back(i);
      }
      cu_seqlens.push_back(static_cast<int32_t>(ids.size()));
    }
    hidden.resize(ids.size() * kHidden);
    pooled.resize(lengths.size() * kHidden);
    embedding.resize(lengths.size() * kHidden);
  }

  PackedBatch batch() const { return {ids, positions, {}, cu_seqlens, {}}; }
  void clear() {
    for (auto* values : {&hidden, &pooled, &embedding}) std::fill(values->begin(), values->end(), NAN);
  }
  bool equals(const Run& other) const {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    };
    return same(hidden, other.hidden) && same(pooled, other.pooled) && same(embedding, other.embedding);
  }
};

Status forward(Encoder& encoder, CpuStream& stream, Workspaces& spaces, Run& run) {
  run.clear();
  const auto op = [&] {
    ForwardRequest request;
    request.last_hidden_state = request.pooler_output = request.sentence_embedding = true;
    request.normalize = true;
    request.layers = 2;
    ForwardResult result;
    result.last_hidden_state = run.hidden.data();
    result.pooler_output = run.pooled.data();
    result.sentence_embedding = run.embedding.data();
    return encoder.forward(stream, spaces, run.batch(), request, result, [] { return false; });
  };
  return guarded([&] { return stream.run_in_order(op); });
}

int pool_width() {
  std::atomic<int> width{0};
  ThreadPool::shared().run(kThreads, [&](int, int count) { width = count; });
  return width;
}

/** Refused memory has a code and says what helps; `what` names the case. */
void check_refused(const Status& status, const std::string& what) {
  check(status.code() == Code::kOutOfMemory && !status.message().empty(),
        concat(what, ": ", code_name(status.code()), " ", status.message()));
}

enum class Outcome { kRefused, kHarmless, kNothingLeft };

/** A forward whose allocation `number` fails, and one after it. */
Outcome refuse_forward(Encoder& encoder, const Run& expected, int64_t number, Failing failing,
                       const std::string& what) {
  CpuStream stream;
  Workspaces spaces;
  Run run = expected;
  bool failed = false;
  Status status;
  {
    const FailingMemory memory(number, failing);
    status = forward(encoder, stream, spaces, run);
    failed = memory.has_failed();
  }
  if (status.is_ok()) {
    check(run.equals(expected), what + ": other bits");
  } else {
    check_refused(status, what);
  }
  const bool refused = !status.is_ok();
  status = forward(encoder, stream, spaces, run);
  check(status.is_ok() && run.equals(expected), concat(what, ", the run after it: ", status.message()));
  check(pool_width() == kThreads, what + ": the pool has lost a thread");
  return !failed ? Outcome::kNothingLeft : refused ? Outcome::kRefused : Outcome::kHarmless;
}

/** In a child, where no thread has scratch memory of earlier runs. */
Outcome in_child(const std::function<Outcome()>& work, const std::string& what) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);  // it hangs
    const int before = failures;
    const Outcome outcome = work();
    std::_Exit(failures > before ? 100 : static_cast<int>(outcome));
  }
  int status = -1;
  waitpid(child, &status, 0);
  const bool known = WIFEXITED(status) && WEXITSTATUS(status) <= static_cast<int>(Outcome::kNothingLeft);
  check(known, concat(what, ": the child ended with ", status));
  return known ? static_cast<Outcome>(WEXITSTATUS(status)) : Outcome::kRefused;
}

/** Every allocation in turn until there are no more; returns how many were refused. */
int sweep(const std::string& what, std::initializer_list<Failing> ways,
          const std::function<Outcome(int64_t, Failing, const std::string&)>& attempt) {
  int refused = 0;
  for (const Failing failing : ways) {
    for (int64_t number = 0;; ++number) {
      const std::string which =
          concat(what, failing == Failing::kOne ? ", allocation " : ", allocations from ", number);
      const Outcome outcome = attempt(number, failing, which);
      if (outcome == Outcome::kNothingLeft) break;
      refused += outcome == Outcome::kRefused;
      if (failures > 20) return refused;
    }
  }
  return refused;
}

void test_forwards(const std::shared_ptr<Engine>& engine, const std::string& path, ComputeType compute,
                   const std::vector<int32_t>& lengths, const std::string& what) {
  auto encoder = load(engine, small_encoder(compute), path, "");
  check(encoder.is_ok(), concat(what, ": ", encoder.status().message()));
  if (!encoder.is_ok()) return;
  Run expected(lengths);
  {
    CpuStream stream;
    Workspaces spaces;
    check(forward(*encoder.value(), stream, spaces, expected).is_ok(), what);
  }
  const auto attempt = [&](int64_t number, Failing failing, const std::string& which) {
    return refuse_forward(*encoder.value(), expected, number, failing, which);
  };
  const int cold =
      sweep(what, {Failing::kOne}, [&](int64_t number, Failing failing, const std::string& which) {
        return in_child([&] { return attempt(number, failing, which); }, which);
      });
  const int warm = sweep(what + ", warm", {Failing::kOne, Failing::kAllAfter}, attempt);
  check(cold > 20 && warm > 20, concat(what, ": only ", cold, " and ", warm, " allocations were refused"));
}

void test_loads(const std::shared_ptr<Engine>& engine, const std::string& path, ComputeType compute,
                const std::string& what) {
  const EncoderSpec spec = small_encoder(compute);
  const std::string cache_path = concat(kScratch, "/packed");
  Run expected({5, 40});
  Workspaces spaces;
  CpuStream stream;
  {
    auto encoder = load(engine, spec, path, "");
    check(encoder.is_ok() && forward(*encoder.value(), stream, spaces, expected).is_ok(), what);
  }
  const size_t bytes = engine->allocated_bytes();
  const int refused = sweep(
      what, {Failing::kOne, Failing::kAllAfter},
      [&](int64_t number, Failing failing, const std::string& which) {
        std::shared_ptr<Encoder> encoder;
        Status status;
        bool failed = false;
        {
          const FailingMemory memory(number, failing);
          status = guarded([&] {
            auto loaded = load(engine, spec, path, cache_path);
            if (loaded.is_ok()) encoder = loaded.take();
            return loaded.status();
          });
          failed = memory.has_failed();
        }
        ::unlink(cache_path.c_str());
        if (status.is_ok()) {
          Run run = expected;
          Workspaces own;
          check(forward(*encoder, stream, own, run).is_ok() && run.equals(expected), which + ": other bits");
        } else {
          check_refused(status, which);
          check(engine->allocated_bytes() == bytes, which + ": memory of a load that failed is kept");
        }
        return !failed ? Outcome::kNothingLeft : !status.is_ok() ? Outcome::kRefused : Outcome::kHarmless;
      });
  check(refused > 100, concat(what, ": only ", refused, " allocations were refused"));
}

}  // namespace
}  // namespace padless::test

int main() {
  using namespace padless;
  const std::shared_ptr<Engine> engine = create_cpu_engine({.threads = test::kThreads}).take();
  const std::string path = test::write_weights();
  const std::vector<int32_t> few = {9, 1, 22};
  const std::vector<int32_t> many = {150, 3, 77, 260};  // blocks of rows
  for (const auto& [compute, name] :
       {std::pair(ComputeType::kF32, "f32"), std::pair(ComputeType::kI8, "int8")}) {
    test::test_forwards(engine, path, compute, few, concat(name, " by columns"));
    test::test_forwards(engine, path, compute, many, concat(name, " by blocks"));
    test::test_loads(engine, path, compute, concat(name, " load"));
  }
  return test::finish({"model.safetensors", "packed"});
}
