#include "cuda/bench/setting.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

#include "cuda/bench/lengths.h"
#include "cuda/platform.cuh"

namespace padless::cuda::bench {
namespace {

constexpr size_t kPatternBytes = size_t{4} << 20;

uint16_t bf16_bits(float value) {
  uint32_t bits;
  static_assert(sizeof(bits) == sizeof(value));
  std::copy_n(reinterpret_cast<const char*>(&value), sizeof(bits), reinterpret_cast<char*>(&bits));
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/** N(0, 1), as long as is worth computing; matrices repeat it. */
std::vector<char> pattern(DType dtype) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<char> bytes(kPatternBytes);
  if (dtype == DType::kF32) {
    std::generate_n(reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float),
                    [&] { return normal(random); });
  } else {
    std::generate_n(reinterpret_cast<uint16_t*>(bytes.data()), bytes.size() / sizeof(uint16_t),
                    [&] { return bf16_bits(normal(random)); });
  }
  return bytes;
}

}  // namespace

Result<DeviceArray> DeviceArray::allocate(size_t bytes) {
  DeviceArray array;
  PADLESS_RETURN_IF_ERROR(to_status(cudaMalloc(&array.data_, std::max<size_t>(bytes, 1))));
  array.bytes_ = bytes;
  return Result<DeviceArray>(std::move(array));
}
DeviceArray::DeviceArray(DeviceArray&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
DeviceArray& DeviceArray::operator=(DeviceArray&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}
DeviceArray::~DeviceArray() {
  if (data_ == nullptr) return;
  static_cast<void>(cudaDeviceSynchronize());
  static_cast<void>(cudaFree(data_));
}

Result<Setting> Setting::create(const Options& options, size_t flush_bytes) {
  Setting setting;
  setting.options_ = options;
  auto device = device_properties(0);
  PADLESS_RETURN_IF_ERROR(device.status());
  setting.device_ = device.value();
  auto lengths = make_lengths(options);
  PADLESS_RETURN_IF_ERROR(lengths.status());
  setting.lengths_ = lengths.take();
  setting.tokens_ = std::accumulate(setting.lengths_.begin(), setting.lengths_.end(), int64_t{0});
  auto flush = DeviceArray::allocate(flush_bytes);
  PADLESS_RETURN_IF_ERROR(flush.status());
  setting.flush_ = flush.take();
  if constexpr (!PADLESS_EMULATED) setting.cublas_ = CublasLt::open();
  return Result<Setting>(std::move(setting));
}

Result<void*> Setting::keep(size_t bytes) {
  auto memory = DeviceArray::allocate(bytes);
  PADLESS_RETURN_IF_ERROR(memory.status());
  kept_.push_back(memory.take());
  return kept_.back().data();
}

Result<Matrix> Setting::random(DType dtype, int64_t rows, int64_t cols) {
  const size_t bytes = static_cast<size_t>(rows * cols) * dtype_size(dtype);
  auto memory = keep(bytes);
  PADLESS_RETURN_IF_ERROR(memory.status());
  const std::vector<char> values = pattern(dtype);
  for (size_t done = 0; done < bytes; done += values.size()) {
    PADLESS_RETURN_IF_ERROR(
        to_status(cudaMemcpy(static_cast<char*>(memory.value()) + done, values.data(),
                             std::min(values.size(), bytes - done), cudaMemcpyHostToDevice)));
  }
  return Matrix{memory.value(), dtype, rows, cols, cols};
}

Result<const float*> Setting::random_vector(int64_t count) {
  auto matrix = random(DType::kF32, 1, count);
  PADLESS_RETURN_IF_ERROR(matrix.status());
  return static_cast<const float*>(matrix.value().data);
}

Result<double> Setting::measure(const std::function<Status()>& enqueue) {
  constexpr int kWarmUp = 3;
  cudaEvent_t begin = nullptr, end = nullptr;
  std::vector<double> seconds;
  const auto sample = [&]() -> Status {
    PADLESS_RETURN_IF_ERROR(to_status(cudaEventCreate(&begin)));
    PADLESS_RETURN_IF_ERROR(to_status(cudaEventCreate(&end)));
    for (int i = 0; i < kWarmUp + options_.samples; i++) {
      PADLESS_RETURN_IF_ERROR(to_status(cudaMemsetAsync(flush_.data(), i, flush_.bytes(), stream())));
      PADLESS_RETURN_IF_ERROR(to_status(cudaEventRecord(begin, stream())));
      PADLESS_RETURN_IF_ERROR(enqueue());
      PADLESS_RETURN_IF_ERROR(to_status(cudaEventRecord(end, stream())));
      PADLESS_RETURN_IF_ERROR(to_status(cudaEventSynchronize(end)));
      float milliseconds = 0;
      PADLESS_RETURN_IF_ERROR(to_status(cudaEventElapsedTime(&milliseconds, begin, end)));
      if (i >= kWarmUp) seconds.push_back(milliseconds * 1e-3);
    }
    return Status::ok();
  };
  const Status status = sample();
  if (begin != nullptr) static_cast<void>(cudaEventDestroy(begin));
  if (end != nullptr) static_cast<void>(cudaEventDestroy(end));
  PADLESS_RETURN_IF_ERROR(status);
  std::ranges::nth_element(seconds, seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2));
  return seconds[seconds.size() / 2];
}

}  // namespace padless::cuda::bench
