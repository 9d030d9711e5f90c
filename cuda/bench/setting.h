// What the benchmarks share: a stream, a timer, random device data, the batch.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "cuda/bench/cublaslt.h"
#include "cuda/bench/report.h"
#include "cuda/padless_cuda.h"

namespace padless::cuda::bench {

/** Device memory, freed with its owner. */
class DeviceArray {
 public:
  static Result<DeviceArray> allocate(size_t bytes);
  DeviceArray() = default;
  DeviceArray(DeviceArray&& other) noexcept;
  DeviceArray& operator=(DeviceArray&& other) noexcept;
  ~DeviceArray();
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/** One run of the program. */
class Setting {
 public:
  /** Before each sample `flush_bytes` are written: more than the L2 cache holds. */
  static Result<Setting> create(const Options& options, size_t flush_bytes = size_t{256} << 20);

  const Options& options() const { return options_; }
  const DeviceProperties& device() const { return device_; }
  const std::vector<int32_t>& lengths() const { return lengths_; }
  int64_t tokens() const { return tokens_; }
  cudaStream_t stream() const { return nullptr; }
  CublasLt* cublas() const { return cublas_.get(); }

  /** [rows, cols] of N(0, 1): zeros would draw less power and run faster. Lives as long as the setting. */
  Result<Matrix> random(DType dtype, int64_t rows, int64_t cols);
  Result<const float*> random_vector(int64_t count);
  template <class T>
  Result<T*> upload(const std::vector<T>& values) {
    auto memory = keep(values.size() * sizeof(T));
    PADLESS_RETURN_IF_ERROR(memory.status());
    PADLESS_RETURN_IF_ERROR(to_status(
        cudaMemcpy(memory.value(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice)));
    return static_cast<T*>(memory.value());
  }
  /** Frees what random() and upload() gave out. */
  void release() { kept_.clear(); }

  /** Median seconds of what `enqueue` puts on the stream, each time with an L2 cache full of other data. */
  Result<double> measure(const std::function<Status()>& enqueue);

 private:
  Setting() = default;
  Result<void*> keep(size_t bytes);

  Options options_;
  DeviceProperties device_;
  std::vector<int32_t> lengths_;
  int64_t tokens_ = 0;
  std::unique_ptr<CublasLt> cublas_;
  std::vector<DeviceArray> kept_;
  DeviceArray flush_;
};

Result<Roof> measure_roof(Setting& setting);

Status bench_rows(Setting& setting, Report& report, const std::string& op);
Status bench_linear(Setting& setting, Report& report);
Status bench_linear_norm(Setting& setting, Report& report);
Status bench_attention(Setting& setting, Report& report, bool disentangled);
Status bench_ladder(Setting& setting, Report& report);

}  // namespace padless::cuda::bench
