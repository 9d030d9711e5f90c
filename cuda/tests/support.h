// What device tests share: device buffers, seeded data, checks. The same tests run under the emulator and on
// a GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "cuda/runtime.h"

namespace padless::cuda::test {

inline int passed_checks = 0, failed_checks = 0;

inline void check(bool condition, const std::string& what) {
  (condition ? passed_checks : failed_checks)++;
  if (!condition) std::printf("FAILED: %s\n", what.c_str());
}
inline void check_ok(const Status& status, const std::string& what) {
  check(status.is_ok(), what + ": " + status.message());
}
inline void check_cuda(cudaError_t error, const std::string& what) { check_ok(to_status(error), what); }

// Ends a test program: its exit status.
inline int report(const char* program) {
  std::printf("%s: %d passed, %d failed\n", program, passed_checks, failed_checks);
  return failed_checks == 0 ? 0 : 1;
}

// The seed of a run: PADLESS_TEST_SEED or a fixed default; programs print it when something fails.
inline uint64_t seed() {
  const char* text = std::getenv("PADLESS_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 20240501;
}

class Random {  // splitmix64
 public:
  explicit Random(uint64_t stream = 0) : state_(seed() * 0x9E3779B97F4A7C15ull + stream) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  float uniform(float low = -1.0f, float high = 1.0f) {
    return low + (high - low) * static_cast<float>(static_cast<double>(bits() >> 11) * 0x1p-53);
  }
  int64_t integer(int64_t low, int64_t high) {  // both ends included
    return low + static_cast<int64_t>(bits() % static_cast<uint64_t>(high - low + 1));
  }
  template <class T>
  std::vector<T> vector(size_t count, float low = -1.0f, float high = 1.0f) {
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(uniform(low, high));
    return values;
  }

 private:
  uint64_t state_;
};

// Device memory of exactly `count` elements: under AddressSanitizer the first byte past the end is poisoned.
template <class T>
class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t count) : count_(count) {
    check_cuda(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)), "cudaMalloc");
  }
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) { upload(values); }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  // Waits, because the emulator's cudaFree refuses memory that queued work uses.
  ~DeviceBuffer() {
    static_cast<void>(cudaDeviceSynchronize());
    check_cuda(cudaFree(data_), "cudaFree");
  }

  T* data() const { return data_; }
  size_t size() const { return count_; }
  void upload(const std::vector<T>& values) {
    check_cuda(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "upload");
  }
  // Waits for all queued work, then copies.
  std::vector<T> download() const {
    std::vector<T> values(count_);
    check_cuda(cudaDeviceSynchronize(), "synchronise");
    check_cuda(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace padless::cuda::test
