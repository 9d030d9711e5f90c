#include "lib/engine/cuda/cuda_engine.h"

#include <atomic>
#include <charconv>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "lib/engine/cuda/batch.h"
#include "lib/engine/cuda/buckets.h"
#include "lib/engine/cuda/devices.h"
#include "lib/engine/cuda/graph.h"
#include "lib/engine/cuda/ops.h"
#include "lib/engine/cuda/row_program.h"
#include "lib/engine/cuda/stream.h"
#include "lib/engine/cuda/weights.h"

namespace padless {
namespace cuda {
namespace {

std::string isa_name(int compute_capability) { return concat("sm_", compute_capability); }

class CudaEngine final : public Engine {
 public:
  CudaEngine(std::shared_ptr<const CudaContext> context, std::unique_ptr<WeightUploader> uploader,
             const CudaEngineOptions& options)
      : context_(std::move(context)),
        uploader_(std::move(uploader)),
        graphs_(options.graphs),
        overlaps_(options.overlap && context_->device->properties().can_overlap),
        norm_fusion_(options.norm_fusion),
        attention_(options.attention) {
    const CudaDevice& device = *context_->device;
    info_.name = device.name();
    info_.description = device.description();
    info_.isa = isa_name(device.properties().compute_capability);
    gemm_.split_k = !options.batch_invariant;
  }

  const DeviceInfo& info() const override { return info_; }
  bool is_lost() const override { return context_->device->is_lost(); }

  Result<std::shared_ptr<Stream>> create_stream() override {
    return CudaStream::create(*context_, overlaps_);
  }
  Result<std::unique_ptr<Event>> create_event() override { return create_cuda_event(context_->device); }

  Result<std::unique_ptr<Buffer>> allocate(size_t bytes) override {
    CudaQueue* const queue = CudaStream::current();
    const bool own = queue != nullptr && queue->context().arena == context_->arena;
    return own ? queue->allocate(bytes) : context_->arena->allocate(bytes, nullptr);
  }
  size_t allocated_bytes() const override { return context_->arena->allocated().now(); }
  size_t peak_bytes() const override { return context_->arena->allocated().peak(); }
  void reset_peak_bytes() override { context_->arena->allocated().reset_peak(); }

  Status copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) override {
    return run(stream, [&](CudaQueue& queue) { return queue.upload(device, host, bytes); });
  }
  Status copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) override {
    return run(stream, [&](CudaQueue& queue) { return queue.download(host, device, bytes); });
  }
  Status copy_rows_to_host(Stream& stream, float* host, const Matrix& matrix) override {
    return run(stream, [&](CudaQueue& queue) { return read_rows(queue, matrix, host); });
  }
  Status wait(Stream& stream) override {
    return run(stream, [](CudaQueue& queue) { return queue.wait(); });
  }

  Result<DType> activation_dtype(ComputeType compute) const override {
    return storage_of(compute, *context_->device);
  }
  Result<std::shared_ptr<const LinearWeight>> pack_linear(const LinearSource& source) override {
    return upload_linear(*uploader_, source);
  }
  Result<std::shared_ptr<const DeviceTensor>> upload(const HostTensor& tensor, DType dtype) override {
    return upload_tensor(*uploader_, tensor, dtype);
  }

  BatchCapacity capacity(const PackedBatch& batch) const override { return bucket_of(batch, graphs_); }
  Result<std::unique_ptr<PreparedBatch>> prepare(Stream& stream, const PackedBatch& batch,
                                                 const AttentionShape& shape,
                                                 const BatchLayout& layout) override {
    Result<std::unique_ptr<PreparedBatch>> prepared = Status(Code::kInternal, "the batch was not prepared");
    PADLESS_RETURN_IF_ERROR(run(stream, [&](CudaQueue& queue) {
      prepared = CudaBatch::create(queue, batch, shape, layout, attention_);
      return prepared.status();
    }));
    return prepared;
  }
  Status refill(Stream& stream, PreparedBatch& batch, const PackedBatch& next,
                std::span<const TokenRows> token_rows) override {
    return run_on(stream, batch, [&](CudaQueue& queue, const CudaBatch&) {
      return dynamic_cast<CudaBatch&>(batch).refill(queue, next, token_rows);
    });
  }

  Result<std::unique_ptr<Recording>> record(Stream& stream, const std::function<Status()>& body) override {
    Result<std::unique_ptr<Recording>> recording = Status(Code::kInternal, "nothing was recorded");
    const Status status = run(stream, [&](CudaQueue& queue) {
      recording = CudaGraph::capture(queue, body);
      return recording.status();
    });
    ++(status.is_ok() ? recorded_ : refused_);
    PADLESS_RETURN_IF_ERROR(status);
    return recording;
  }
  Status replay(Stream& stream, const Recording& recording) override {
    const auto* graph = dynamic_cast<const CudaGraph*>(&recording);
    PADLESS_CHECK(graph != nullptr, Code::kInvalidArgument, "recording",
                  "the recording was made by another device");
    const Status status = run(stream, [&](CudaQueue& queue) { return graph->launch(queue); });
    ++(status.is_ok() ? replayed_ : refused_);
    return status;
  }
  RecordingCounts recording_counts() const override { return {recorded_, replayed_, refused_}; }

  Status embed(Stream& stream, const PreparedBatch& batch, const EmbedArgs& args) override {
    return run_on(stream, batch,
                  [&](CudaQueue& queue, const CudaBatch& own) { return run_embed(queue, own, args); });
  }
  Status run_rows(Stream& stream, const RowProgram& program, std::span<const Matrix> matrices,
                  int64_t rows) override {
    return run(stream, [&](CudaQueue& queue) {
      return run_row_program(queue, program, matrices, rows, nullptr, gemm_, norm_fusion_);
    });
  }
  Status run_token_rows(Stream& stream, const PreparedBatch& batch, const RowProgram& program,
                        std::span<const Matrix> matrices) override {
    return run_on(stream, batch, [&](CudaQueue& queue, const CudaBatch& own) {
      return run_row_program(queue, program, matrices, own.rows(), own.tokens_on_device(), gemm_,
                             norm_fusion_);
    });
  }
  Status attention(Stream& stream, const PreparedBatch& batch, const AttentionArgs& args) override {
    return run_on(stream, batch,
                  [&](CudaQueue& queue, const CudaBatch& own) { return run_attention(queue, own, args); });
  }
  Status pool(Stream& stream, const PreparedBatch& batch, const PoolArgs& args) override {
    return run_on(stream, batch,
                  [&](CudaQueue& queue, const CudaBatch& own) { return run_pool(queue, own, args); });
  }
  Status gather_rows(Stream& stream, const Matrix& in, std::span<const int32_t> indices,
                     const Matrix& out) override {
    return run(stream, [&](CudaQueue& queue) { return run_gather(queue, in, indices, out); });
  }

 private:
  template <class Op>
  Status run(Stream& stream, const Op& op) {
    Result<CudaStream*> own = as_cuda_stream(*context_->device, stream);
    if (!own.is_ok()) return own.status();
    return own.value()->run_in_order(op);
  }

  template <class Op>
  Status run_on(Stream& stream, const PreparedBatch& batch, const Op& op) {
    Result<const CudaBatch*> own = as_cuda_batch(*context_->device, batch);
    if (!own.is_ok()) return own.status();
    return run(stream, [&](CudaQueue& queue) { return op(queue, *own.value()); });
  }

  const std::shared_ptr<const CudaContext> context_;
  const std::unique_ptr<WeightUploader> uploader_;
  DeviceInfo info_;
  GemmPlanOptions gemm_;
  const bool graphs_, overlaps_;
  const NormFusion norm_fusion_;
  const AttentionPlanOptions attention_;
  std::atomic<uint64_t> recorded_ = 0, replayed_ = 0, refused_ = 0;
};

/** 3 of "cuda:3". */
std::optional<int> index_of(std::string_view name) {
  const std::string prefix = concat(kRuntimeKind, ":");
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  int index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return index;
}

/** What the engines of one device share while one of them lives and the device works. */
Result<std::shared_ptr<const CudaContext>> context_of(int index) {
  static std::mutex mutex;
  static auto* const contexts = new std::map<int, std::weak_ptr<const CudaContext>>;
  const std::lock_guard lock(mutex);
  std::weak_ptr<const CudaContext>& known = (*contexts)[index];
  const std::shared_ptr<const CudaContext> shared = known.lock();
  const bool was_lost = shared && shared->device->is_lost();
  if (shared && !was_lost) return shared;
  Result<std::shared_ptr<CudaDevice>> device = CudaDevice::open(index, was_lost);
  if (!device.is_ok()) return device.status();
  auto made = std::make_shared<CudaContext>();
  made->device = device.take();
  made->arena = std::make_shared<CudaArena>(made->device);
  made->pinned = std::make_shared<PinnedPool>(made->device);
  known = made;
  return std::shared_ptr<const CudaContext>(std::move(made));
}

}  // namespace
}  // namespace cuda

std::vector<CudaListing> list_cuda_devices() {
  std::vector<CudaListing> devices;
  for (int i = 0; i < cuda::device_count(); ++i) {
    CudaListing& listing = devices.emplace_back(cuda::device_name(i), cuda::why_unusable(i));
    cudaDeviceProp properties{};
    if (!listing.reason.empty() || cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    listing.description = properties.name;
    listing.isa = cuda::isa_name(properties.major * 10 + properties.minor);
  }
  return devices;
}

Result<std::shared_ptr<Engine>> create_cuda_engine(const std::string& name,
                                                   const CudaEngineOptions& options) {
  const std::optional<int> index = cuda::index_of(name);
  PADLESS_CHECK(index, Code::kDevice, "device", "there is no device \"", name, "\" in this build; ",
                cuda::device_name(0), " is one");
  Result<std::shared_ptr<const cuda::CudaContext>> context = cuda::context_of(*index);
  if (!context.is_ok()) return context.status();
  auto uploader = cuda::WeightUploader::create(*context.value());
  if (!uploader.is_ok()) return uploader.status();
  return std::shared_ptr<Engine>(
      std::make_shared<cuda::CudaEngine>(context.take(), uploader.take(), options));
}

}  // namespace padless
