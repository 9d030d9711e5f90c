#include "lib/engine/cpu/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "lib/engine/cpu/parallel_rows.h"

namespace padless {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
/** From here on a block starts on a huge page; a smaller one would waste most of it. */
constexpr size_t kHugeBlock = kHugePage;
/** A copied tensor is let go in pieces of about so many bytes: both copies of a table never lie in memory. */
constexpr size_t kSlabBytes = size_t{1} << 20;

class CpuBuffer : public Buffer {
 public:
  CpuBuffer(const ByteCounter& counter, AlignedBlock block, size_t bytes)
      : block_(std::move(block)), bytes_(bytes), counted_(counter, bytes) {}
  void* data() const override { return block_.data(); }
  size_t bytes() const override { return bytes_; }

 private:
  AlignedBlock block_;
  size_t bytes_;
  CountedBytes counted_;
};

class CpuTensor : public DeviceTensor {
 public:
  CpuTensor(const ByteCounter& counter, AlignedBlock block, Matrix view, size_t bytes)
      : block_(std::move(block)), view_(view), bytes_(bytes), counted_(counter, bytes) {}
  Matrix view() const override { return view_; }
  size_t bytes() const override { return bytes_; }

 private:
  AlignedBlock block_;
  Matrix view_;
  size_t bytes_;
  CountedBytes counted_;
};

bool is_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

float read_float(const void* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kF16:
      return f16_to_float(static_cast<const uint16_t*>(data)[index]);
    case DType::kBF16:
      return bf16_to_float(static_cast<const uint16_t*>(data)[index]);
    default:
      break;
  }
  float value;  // a mapped file promises no alignment
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(float)),
              sizeof(float));
  return value;
}

void write_float(void* data, DType dtype, int64_t index, float value) {
  switch (dtype) {
    case DType::kF16:
      static_cast<uint16_t*>(data)[index] = float_to_f16(value);
      return;
    case DType::kBF16:
      static_cast<uint16_t*>(data)[index] = float_to_bf16(value);
      return;
    default:
      static_cast<float*>(data)[index] = value;
  }
}

/** Elements [first, last) of `tensor`, as `dtype`, to the same places of `to`. */
void copy_floats(const HostTensor& tensor, int64_t first, int64_t last, void* to, DType dtype) {
  if (tensor.dtype == dtype) {
    const size_t size = dtype_size(dtype);
    std::memcpy(static_cast<char*>(to) + first * size, static_cast<const char*>(tensor.data) + first * size,
                (last - first) * size);
    return;
  }
  for (int64_t i = first; i < last; ++i) write_float(to, dtype, i, read_float(tensor.data, tensor.dtype, i));
}

}  // namespace

CountedBytes::CountedBytes(ByteCounter counter, size_t bytes) : counter_(std::move(counter)), bytes_(bytes) {
  counter_->fetch_add(bytes_, std::memory_order_relaxed);
}

CountedBytes::~CountedBytes() { counter_->fetch_sub(bytes_, std::memory_order_relaxed); }

void AlignedBlock::Free::operator()(void* data) const { std::free(data); }

Result<AlignedBlock> AlignedBlock::allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugeBlock ? kHugePage : kAlignment;
  void* data = nullptr;
  if (bytes <= std::numeric_limits<size_t>::max() / 2) {
    data =
        std::aligned_alloc(alignment, (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment);
  }
  PADLESS_CHECK(data != nullptr, Code::kOutOfMemory, "", "the system refused ", bytes, " bytes of memory");
#if defined(__linux__)
  // Advice only: without huge pages everything still works.
  if (alignment == kHugePage) (void)madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  AlignedBlock block;
  block.data_.reset(data);
  return block;
}

Result<std::unique_ptr<Buffer>> create_cpu_buffer(const ByteCounter& counter, size_t bytes) {
  Result<AlignedBlock> block = AlignedBlock::allocate(bytes);
  if (!block.is_ok()) return block.status();
  return std::unique_ptr<Buffer>(std::make_unique<CpuBuffer>(counter, block.take(), bytes));
}

Result<std::shared_ptr<const DeviceTensor>> create_cpu_tensor(const ByteCounter& counter,
                                                              const HostTensor& tensor, DType dtype,
                                                              int threads) {
  const bool integers = tensor.dtype == DType::kI32 && dtype == DType::kI32;
  PADLESS_CHECK(integers || (is_float(tensor.dtype) && is_float(dtype)), Code::kUnsupported, "dtype",
                "a tensor of ", dtype_name(tensor.dtype), " cannot be stored as ", dtype_name(dtype),
                "; f32, f16 and bf16 convert into each other, and i32 stays i32");
  PADLESS_CHECK(tensor.shape.size() == 1 || tensor.shape.size() == 2, Code::kUnsupported, "shape",
                "a tensor of rank ", tensor.shape.size(), " cannot be uploaded; rank 1 and 2 can");
  PADLESS_CHECK(std::all_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t dim) { return dim >= 0; }),
                Code::kInvalidArgument, "shape", "a tensor has a negative dimension");
  PADLESS_CHECK(tensor.data != nullptr || tensor.elements() == 0, Code::kInvalidArgument, "data",
                "a tensor of ", tensor.elements(), " elements has no data");
  const int64_t rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
  const int64_t cols = tensor.shape.back();
  const size_t bytes = static_cast<size_t>(rows * cols) * dtype_size(dtype);
  Result<AlignedBlock> block = AlignedBlock::allocate(bytes);
  if (!block.is_ok()) return block.status();

  void* const to = block.value().data();
  const size_t row_bytes = static_cast<size_t>(cols) * dtype_size(tensor.dtype);
  const int64_t slab = static_cast<int64_t>(std::max<size_t>(1, kSlabBytes / std::max<size_t>(1, row_bytes)));
  parallel_rows(rows, cols, threads, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row += slab) {
      const int64_t end = std::min(last, row + slab);
      copy_floats(tensor, row * cols, end * cols, to, dtype);
      if (tensor.let_go) tensor.let_go(row * row_bytes, end * row_bytes);
    }
  });
  const Matrix view = {to, dtype, rows, cols, cols};
  return std::shared_ptr<const DeviceTensor>(std::make_shared<CpuTensor>(counter, block.take(), view, bytes));
}

}  // namespace padless
