#include "lib/engine/cpu/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "lib/core/convert.h"
#include "lib/engine/cpu/parallel_rows.h"

namespace padless {
namespace {

constexpr size_t kAlignment = 64;
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

}  // namespace

CountedBytes::CountedBytes(ByteCounter counter, size_t bytes) : counter_(std::move(counter)), bytes_(bytes) {
  counter_->add(bytes_);
}

CountedBytes::~CountedBytes() { counter_->subtract(bytes_); }

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
  PADLESS_RETURN_IF_ERROR(check_upload(tensor, dtype));
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
      convert_elements(static_cast<const char*>(tensor.data) + row * row_bytes, tensor.dtype,
                       static_cast<char*>(to) + row * cols * dtype_size(dtype), dtype, (end - row) * cols);
      if (tensor.let_go) tensor.let_go(row * row_bytes, end * row_bytes);
    }
  });
  const Matrix view = {to, dtype, rows, cols, cols};
  return std::shared_ptr<const DeviceTensor>(std::make_shared<CpuTensor>(counter, block.take(), view, bytes));
}

}  // namespace padless
