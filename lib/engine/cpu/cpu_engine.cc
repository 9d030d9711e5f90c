#include "lib/engine/cpu/cpu_engine.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <utility>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/attention/attention.h"
#include "lib/engine/cpu/embed.h"
#include "lib/engine/cpu/gemm/select.h"
#include "lib/engine/cpu/linear.h"
#include "lib/engine/cpu/memory.h"
#include "lib/engine/cpu/pool.h"
#include "lib/engine/cpu/prepared_batch.h"
#include "lib/engine/cpu/rows/run_rows.h"
#include "lib/engine/cpu/stream.h"

namespace padless {
namespace {

// Of a thread: its rows of a few matrices stay in a last-level cache, and are blocks enough to share out
// evenly.
constexpr int64_t kLayerBytes = int64_t{8} << 20;
constexpr int64_t kLeastLayerTokens = 1024;

/** The chip's name as the operating system prints it; "CPU" where it does not. */
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

Result<CpuIsa> choose_isa(const std::string& name) {
  const CpuIsa machine = detect_cpu_isa();
  if (name == "auto") return machine;
  const std::optional<IsaLevel> level = find_isa_level(name);
  PADLESS_CHECK(level, Code::kInvalidArgument, "isa", "unknown isa \"", name,
                "\"; \"auto\", \"amx\", \"avx512\", \"avx2\", \"neon\" and \"portable\" are known");
  PADLESS_CHECK(has_level(machine, *level), Code::kUnsupported, "isa", "this machine has no ", name,
                "; it has ", isa_name(machine));
  return restrict_isa(machine, *level);
}

Result<const CpuPreparedBatch*> as_cpu_batch(const PreparedBatch& batch) {
  const auto* cpu = dynamic_cast<const CpuPreparedBatch*>(&batch);
  PADLESS_CHECK(cpu != nullptr, Code::kInvalidArgument, "batch", "the batch was prepared by another device");
  return cpu;
}

/** A packed weight, counted while anybody holds it. */
struct CountedWeight {
  CountedWeight(const ByteCounter& counter, std::shared_ptr<const LinearWeight> packed)
      : weight(std::move(packed)), counted(counter, weight->bytes()) {}
  std::shared_ptr<const LinearWeight> weight;
  CountedBytes counted;
};

class CpuEngine final : public Engine, public PackedLinearEngine {
 public:
  explicit CpuEngine(const CpuContext& context) : context_(context), bytes_(std::make_shared<ByteCount>()) {
    info_.name = "cpu";
    info_.description = processor_name();
    info_.isa = isa_name(context.isa);
    info_.threads = context.threads;
  }

  const DeviceInfo& info() const override { return info_; }

  Result<std::shared_ptr<Stream>> create_stream() override {
    return std::shared_ptr<Stream>(std::make_shared<CpuStream>());
  }
  Result<std::unique_ptr<Event>> create_event() override { return create_cpu_event(); }

  Result<std::unique_ptr<Buffer>> allocate(size_t bytes) override { return create_cpu_buffer(bytes_, bytes); }
  size_t allocated_bytes() const override { return bytes_->now(); }
  size_t peak_bytes() const override { return bytes_->peak(); }
  void reset_peak_bytes() override { bytes_->reset_peak(); }

  Status copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) override {
    return copy(stream, device, host, bytes);
  }
  Status copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) override {
    return copy(stream, host, device, bytes);
  }

  Status copy_rows_to_host(Stream& stream, float* host, const Matrix& matrix) override {
    return run(stream, [&] { return read_rows_cpu(context_, matrix, host); });
  }

  bool works_in_host_memory() const override { return true; }

  Result<DType> activation_dtype(ComputeType compute) const override {
    PADLESS_CHECK(compute != ComputeType::kF16, Code::kUnsupported, "dtype",
                  "the CPU engine does not compute in f16; f32, bf16 and int8 are supported");
    PADLESS_CHECK(compute != ComputeType::kFp8, Code::kUnsupported, "dtype",
                  "the CPU engine does not compute in fp8, which GPUs of compute capability 9.0 (Hopper) do; "
                  "f32, bf16 and int8 are supported");
    return DType::kF32;
  }

  bool attention_takes_bf16(ComputeType compute) const override {
    if (compute == ComputeType::kF32) return false;
    const GemmKernel* kernel = select_gemm_kernel(context_.isa, compute);
    return kernel && kernel->stores_bf16 && attention_takes_bf16_cpu(context_.isa, compute);
  }
  bool attention_overwrites_queries(ComputeType compute, int64_t columns) const override {
    // int8 models would be as exact on average, but not every one of them as onnxruntime's.
    if (compute != ComputeType::kBF16 || !attention_takes_bf16(compute)) return false;
    const GemmKernel& kernel = *select_gemm_kernel(context_.isa, compute);
    // Rows that are read as they are have no padding.
    return kernel.convert_bf16_rows || columns % (int64_t{kernel.group} * kernel.step_multiple) == 0;
  }

  Result<std::shared_ptr<const LinearWeight>> pack_linear(const LinearSource& source) override {
    Result<std::shared_ptr<const LinearWeight>> packed = pack_linear_cpu(context_, source);
    if (!packed.is_ok()) return packed.status();
    return count(packed.take());
  }
  std::string packing() const override { return packing_cpu(context_); }
  PackedLinear packed_linear(const LinearWeight& weight) const override {
    const auto* cpu = dynamic_cast<const CpuLinearWeight*>(&weight);
    return cpu ? cpu->packed() : PackedLinear{};
  }
  std::shared_ptr<const LinearWeight> adopt_linear(const PackedLinear& packed) override {
    std::shared_ptr<const LinearWeight> weight = adopt_linear_cpu(context_, packed);
    return weight ? count(std::move(weight)) : nullptr;
  }

  Result<std::shared_ptr<const DeviceTensor>> upload(const HostTensor& tensor, DType dtype) override {
    return create_cpu_tensor(bytes_, tensor, dtype, context_.threads);
  }

  int64_t layer_tokens(int64_t row_bytes) const override {
    return std::max(kLeastLayerTokens, kLayerBytes / std::max<int64_t>(1, row_bytes)) * context_.threads;
  }

  void expect_forward() const override {
    if (context_.threads > 1) ThreadPool::shared().rouse();
  }

  Result<std::unique_ptr<PreparedBatch>> prepare(Stream& stream, const PackedBatch& batch,
                                                 const AttentionShape& shape,
                                                 const BatchLayout& layout) override {
    if (Result<CpuStream*> cpu = as_cpu_stream(stream); !cpu.is_ok()) return cpu.status();
    PADLESS_RETURN_IF_ERROR(check_attention_shape(shape));
    PADLESS_RETURN_IF_ERROR(check_arrays(batch));
    return std::unique_ptr<PreparedBatch>(std::make_unique<CpuPreparedBatch>(
        batch, plan_attention(batch.cu_seqlens, shape, context_.threads), layout.token_rows));
  }

  Status embed(Stream& stream, const PreparedBatch& batch, const EmbedArgs& args) override {
    return run(stream, [&] { return embed_cpu(context_, batch.host(), args); });
  }
  Status run_rows(Stream& stream, const RowProgram& program, std::span<const Matrix> matrices,
                  int64_t rows) override {
    return run(stream, [&] { return run_rows_cpu(context_, program, matrices, rows); });
  }

  Status attention(Stream& stream, const PreparedBatch& batch, const AttentionArgs& args) override {
    Result<const CpuPreparedBatch*> cpu = as_cpu_batch(batch);
    if (!cpu.is_ok()) return cpu.status();
    return run(stream, [&] { return attention_cpu(context_, cpu.value()->attention(), batch.host(), args); });
  }
  Status pool(Stream& stream, const PreparedBatch& batch, const PoolArgs& args) override {
    return run(stream, [&] { return pool_cpu(context_, batch.host(), args); });
  }
  Status gather_rows(Stream& stream, const Matrix& in, std::span<const int32_t> indices,
                     const Matrix& out) override {
    return run(stream, [&] { return gather_rows_cpu(context_, in, indices, out); });
  }

 private:
  std::shared_ptr<const LinearWeight> count(std::shared_ptr<const LinearWeight> packed) const {
    auto counted = std::make_shared<CountedWeight>(bytes_, std::move(packed));
    const LinearWeight* weight = counted->weight.get();
    return std::shared_ptr<const LinearWeight>(std::move(counted), weight);
  }

  template <class Op>
  static Status run(Stream& stream, const Op& op) {
    Result<CpuStream*> cpu = as_cpu_stream(stream);
    if (!cpu.is_ok()) return cpu.status();
    return cpu.value()->run_in_order(op);
  }

  static Status copy(Stream& stream, void* to, const void* from, size_t bytes) {
    return run(stream, [&] {
      PADLESS_CHECK(bytes == 0 || (to != nullptr && from != nullptr), Code::kInvalidArgument, "data",
                    "a copy of ", bytes, " bytes from or to a null pointer");
      if (bytes > 0) std::memcpy(to, from, bytes);
      return Status::ok();
    });
  }

  const CpuContext context_;
  const ByteCounter bytes_;
  DeviceInfo info_;
};

}  // namespace

Result<std::shared_ptr<Engine>> create_cpu_engine(const CpuEngineOptions& options) {
  PADLESS_CHECK(options.threads >= 0, Code::kInvalidArgument, "threads", "threads is ", options.threads,
                "; it is a number of threads, or 0 for as many as there are CPUs");
  Result<CpuIsa> isa = choose_isa(options.isa);
  if (!isa.is_ok()) return isa.status();
  const CpuContext context = {isa.value(), detect_cache_sizes(),
                              options.threads > 0 ? options.threads : available_cpus(),
                              options.batch_invariant};
  return std::shared_ptr<Engine>(std::make_shared<CpuEngine>(context));
}

}  // namespace padless
