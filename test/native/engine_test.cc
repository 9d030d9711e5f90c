// The CPU engine as a whole: options, memory accounting, copies, and ops from any thread in stream order.
#include "lib/engine/cpu/cpu_engine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <vector>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/stream.h"
#include "test/native/cpu_test.h"

namespace padless::test {
namespace {

std::shared_ptr<Engine> make_engine(const CpuEngineOptions& options = {}) {
  Result<std::shared_ptr<Engine>> engine = create_cpu_engine(options);
  check_status(engine.status(), Code::kOk, "", "create_cpu_engine");
  return engine.take();
}

void test_options() {
  check_status(create_cpu_engine({-1, "auto"}).status(), Code::kInvalidArgument, "threads", "-1 threads");
  check_status(create_cpu_engine({0, "avx1024"}).status(), Code::kInvalidArgument, "isa", "unknown isa");
  check(make_engine()->info().threads == available_cpus(), "0 threads are not all CPUs");
  check(make_engine({3, "portable"})->info().threads == 3, "threads is not kept");
  check(make_engine({0, "portable"})->info().isa == "portable", "portable calls itself otherwise");
  const CpuIsa machine = detect_cpu_isa();
  for (const char* name : {"portable", "neon", "avx2", "avx512", "amx"}) {
    const bool runs = has_level(machine, *find_isa_level(name));
    check_status(create_cpu_engine({0, name}).status(), runs ? Code::kOk : Code::kUnsupported,
                 runs ? "" : "isa", name);
  }
  check(make_engine()->info().name == "cpu" && !make_engine()->info().description.empty(), "device names");
}

void test_memory() {
  const auto engine = make_engine();
  check(engine->allocated_bytes() == 0, "a new engine holds memory");
  {
    auto small = engine->allocate(100).take();
    auto large = engine->allocate(20 << 20).take();
    auto none = engine->allocate(0).take();
    check(small->bytes() == 100 && none->bytes() == 0 && none->data() != nullptr, "buffer sizes");
    for (const Buffer* buffer : {small.get(), large.get(), none.get()}) {
      check(reinterpret_cast<uintptr_t>(buffer->data()) % 64 == 0, "a buffer is not aligned");
    }
    std::memset(large->data(), 1, large->bytes());
    check(engine->allocated_bytes() == 100 + (20 << 20), "allocated_bytes while buffers live");
  }
  check(engine->allocated_bytes() == 0, "allocated_bytes after buffers died");
  check(engine->peak_bytes() == 100 + (20 << 20), "peak_bytes after buffers died");
  engine->reset_peak_bytes();
  check(engine->peak_bytes() == 0, "peak_bytes after its reset");
  for (size_t bytes : {std::numeric_limits<size_t>::max(), std::numeric_limits<size_t>::max() / 4}) {
    check_status(engine->allocate(bytes).status(), Code::kOutOfMemory, "", "an impossible allocation");
  }
  check(engine->allocated_bytes() == 0, "a refused allocation is counted");
}

void test_buffer_outlives_engine() {
  auto engine = make_engine();
  auto buffer = engine->allocate(1000).take();
  engine.reset();
  std::memset(buffer->data(), 0, buffer->bytes());
}

void test_upload() {
  const auto engine = make_engine();
  const std::vector<float> values = {1.f, -2.5f, 0.1f, 65504.f, 1e-6f, 3.f};
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const HostTensor host = {values.data(), DType::kF32, {2, 3}};
    const auto tensor = engine->upload(host, dtype).take();
    check(tensor->view().rows == 2 && tensor->view().cols == 3 && tensor->view().dtype == dtype,
          "upload's shape");
    check(engine->allocated_bytes() == tensor->bytes() && tensor->bytes() == 6 * dtype_size(dtype),
          "upload's bytes");
    // Back to f32: what the 16-bit types keep, they keep exactly.
    const HostTensor packed = {tensor->view().data, dtype, {6}};
    const auto back = engine->upload(packed, DType::kF32).take();
    check(back->view().rows == 1 && back->view().cols == 6, "rank 1 is one row");
    for (int i = 0; i < 6; ++i) {
      const float wanted = dtype == DType::kF32   ? values[i]
                           : dtype == DType::kF16 ? f16_to_float(float_to_f16(values[i]))
                                                  : bf16_to_float(float_to_bf16(values[i]));
      check(back->view().row<float>(0)[i] == wanted,
            concat("upload to ", dtype_name(dtype), " of ", values[i]));
    }
  }
  check(engine->allocated_bytes() == 0, "tensors are still counted");
  const HostTensor integers = {values.data(), DType::kI32, {6}};
  check_status(engine->upload(integers, DType::kF32).status(), Code::kUnsupported, "dtype",
               "upload of integers");
  const auto kept = engine->upload(integers, DType::kI32).take();
  check(kept->view().dtype == DType::kI32 &&
            std::memcmp(kept->view().data, values.data(), 6 * sizeof(int32_t)) == 0,
        "i32 does not stay i32");
  const HostTensor cube = {values.data(), DType::kF32, {1, 2, 3}};
  check_status(engine->upload(cube, DType::kF32).status(), Code::kUnsupported, "shape", "upload of rank 3");
  const HostTensor nothing = {nullptr, DType::kF32, {6}};
  check_status(engine->upload(nothing, DType::kF32).status(), Code::kInvalidArgument, "data",
               "upload of null");
}

/** Every byte of a source is let go once, and only after it has been copied. */
void test_upload_lets_go() {
  const auto engine = make_engine({2, "auto"});
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    const int64_t rows = 1003, cols = 1001;
    std::vector<float> source(static_cast<size_t>(rows * cols));
    for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<float>(i % 251);
    HostTensor host = {source.data(), DType::kF32, {rows, cols}};
    std::mutex mutex;
    std::vector<int> times(source.size());
    int calls = 0;
    host.let_go = [&](size_t begin, size_t end) {
      const std::lock_guard lock(mutex);
      ++calls;
      for (size_t i = begin / sizeof(float); i < end / sizeof(float); ++i) {
        ++times[i];
        source[i] = -1.f;
      }
    };
    const auto tensor = engine->upload(host, dtype).take();
    check(calls >= 4, concat("4 MB were let go in ", calls, " pieces"));
    check(std::all_of(times.begin(), times.end(), [](int count) { return count == 1; }),
          "bytes were let go not at all or twice");
    const HostTensor packed = {tensor->view().data, dtype, {rows, cols}};
    const auto back = engine->upload(packed, DType::kF32).take();
    int64_t wrong = 0;
    for (int64_t i = 0; i < rows * cols; ++i) {
      wrong += back->view().row<float>(0)[i] != static_cast<float>(i % 251);
    }
    check(wrong == 0, concat(wrong, " values were let go before they were copied"));
  }
}

void test_weights() {
  const auto engine = make_engine();
  const std::vector<float> values = normal_values(40 * 24, 1);
  LinearSource source;
  source.parts.push_back({{values.data(), DType::kF32, {40, 24}}, {}});
  {
    auto weight = engine->pack_linear(source).take();
    check(weight->in_features() == 24 && weight->out_features() == 40, "a packed weight's features");
    check(engine->allocated_bytes() == weight->bytes() && weight->bytes() >= 40 * 24 * sizeof(float),
          "a packed weight's bytes");
  }
  check(engine->allocated_bytes() == 0, "a weight is still counted");
  source.compute = ComputeType::kF16;
  check(engine->pack_linear(source).status().code() == Code::kUnsupported, "f16 products");
  check(engine->activation_dtype(ComputeType::kF16).status().code() == Code::kUnsupported, "f16 activations");
  check(engine->activation_dtype(ComputeType::kF32).value() == DType::kF32, "f32 activations");
}

void test_copies_in_order() {
  const auto engine = make_engine();
  const auto stream = engine->create_stream().take();
  const auto buffer = engine->allocate(sizeof(int)).take();
  int host = 1;
  check(engine->copy_to_device(*stream, buffer->data(), &host, sizeof host).is_ok(), "copy_to_device");
  stream->enqueue([&] { ++*static_cast<int*>(buffer->data()); });
  check(engine->copy_to_host(*stream, &host, buffer->data(), sizeof host).is_ok(), "copy_to_host");
  check(host == 2, "a copy overtook a task");
  check_status(engine->copy_to_host(*stream, nullptr, buffer->data(), 4), Code::kInvalidArgument, "data",
               "null copy");
  check(engine->copy_to_host(*stream, nullptr, nullptr, 0).is_ok(), "a copy of nothing");
}

void test_prepare() {
  const auto engine = make_engine();
  const auto stream = engine->create_stream().take();
  const std::vector<int32_t> ids = {1, 2, 3};
  const std::vector<int32_t> positions = {0, 1, 0};
  const std::vector<int32_t> cu_seqlens = {0, 2, 3};
  const AttentionShape shape = {2, 2, 8};
  const auto status = [&](const PackedBatch& batch, const AttentionShape& wanted) {
    return engine->prepare(*stream, batch, wanted).status();
  };
  check_status(status({ids, positions, {}, cu_seqlens}, shape), Code::kOk, "", "prepare");
  check_status(status({}, shape), Code::kOk, "", "prepare nothing");
  const std::span<const int32_t> two(ids.data(), 2);
  check_status(status({two, positions, {}, cu_seqlens}, shape), Code::kInvalidArgument, "ids", "short ids");
  check_status(status({ids, two, {}, cu_seqlens}, shape), Code::kInvalidArgument, "positions",
               "short positions");
  check_status(status({ids, positions, two, cu_seqlens}, shape), Code::kInvalidArgument, "tokenTypes",
               "short types");
  check_status(status({ids, positions, {}, cu_seqlens}, {3, 2, 8}), Code::kInvalidArgument, "kvHeads",
               "3 by 2 heads");
}

/** Attention through the engine: the value of a lone token is its output, from a task and from outside. */
void test_ops_from_any_thread() {
  const auto engine = make_engine({2, "auto"});
  const auto stream = engine->create_stream().take();
  const std::vector<int32_t> ids = {1, 2};
  const std::vector<int32_t> cu_seqlens = {0, 1, 2};
  const auto prepared = engine->prepare(*stream, {ids, ids, {}, cu_seqlens}, {1, 1, 4}).take();
  std::vector<float> qkv = normal_values(2 * 12, 7);
  for (bool in_task : {false, true}) {
    std::vector<float> out(2 * 4);
    const Matrix all = matrix_of(qkv, 2, 12);
    AttentionArgs args;
    args.shape = {1, 1, 4};
    args.q = all.columns(0, 4);
    args.k = all.columns(4, 4);
    args.v = all.columns(8, 4);
    args.out = matrix_of(out, 2, 4);
    args.scale = 0.5f;
    Status status;
    if (in_task) {
      stream->enqueue([&] { status = engine->attention(*stream, *prepared, args); });
      check(engine->copy_to_host(*stream, nullptr, nullptr, 0).is_ok(), "waiting for the task");
    } else {
      status = engine->attention(*stream, *prepared, args);
    }
    check_status(status, Code::kOk, "", "attention");
    for (int t = 0; t < 2; ++t) {
      for (int i = 0; i < 4; ++i)
        check(std::abs(out[t * 4 + i] - qkv[t * 12 + 8 + i]) < 1e-6, "a lone token's output");
    }
  }
}

class ForeignStream : public Stream {
 public:
  void enqueue(std::function<void()>) override {}
  void on_complete(std::function<void(Status)>) override {}
};
class ForeignBatch : public PreparedBatch {
 public:
  const PackedBatch& host() const override { return batch_; }
  Matrix token_rows(size_t) const override { return {}; }

 private:
  PackedBatch batch_;
};

void test_foreign_objects() {
  const auto engine = make_engine();
  const auto stream = engine->create_stream().take();
  ForeignStream foreign;
  check_status(engine->copy_to_host(foreign, nullptr, nullptr, 0), Code::kInvalidArgument, "stream",
               "foreign stream");
  check_status(engine->attention(*stream, ForeignBatch(), {}), Code::kInvalidArgument, "batch",
               "foreign batch");
}

}  // namespace
}  // namespace padless::test

int main(int argc, char** argv) {
  using namespace padless::test;
  start(argc, argv);
  test_options();
  test_memory();
  test_buffer_outlives_engine();
  test_upload();
  test_upload_lets_go();
  test_weights();
  test_copies_in_order();
  test_prepare();
  test_ops_from_any_thread();
  test_foreign_objects();
  return finish();
}
