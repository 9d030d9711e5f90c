// packing_index, pack_rows and unpack_rows against a loop over the mask.
#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {
namespace {

enum class Fill { kPrefix, kHoles, kAll, kNone, kSuffix };

struct MaskCase {
  int64_t batch, length;
  Fill fill;
  std::string name() const {
    return concat("mask [", batch, ", ", length, "] fill ", static_cast<int>(fill));
  }
};

template <class M>
std::vector<M> make_mask(const MaskCase& c) {
  Random random(static_cast<uint64_t>(c.batch * 1000 + c.length));
  std::vector<M> mask;
  for (int64_t b = 0; b < c.batch; b++) {
    const int64_t count = random.integer(0, c.length);
    for (int64_t s = 0; s < c.length; s++) {
      const bool set = c.fill == Fill::kAll || (c.fill == Fill::kPrefix && s < count) ||
                       (c.fill == Fill::kSuffix && s >= count) ||
                       (c.fill == Fill::kHoles && random.integer(0, 2) == 0);
      mask.push_back(static_cast<M>(set ? random.integer(1, 100) : 0));
    }
  }
  return mask;
}

template <class M, class T>
void test_case(const MaskCase& c, DType mask_dtype, bool all_outputs = true) {
  const std::string name = concat(c.name(), " ", dtype_name(mask_dtype), " rows ", type_name<T>());
  const auto mask = make_mask<M>(c);
  const auto elements = mask.size();
  std::vector<int32_t> cu_seqlens{0}, token_index, positions, packed_row;
  for (size_t i = 0; i < elements; i++) {
    packed_row.push_back(mask[i] != M{0} ? static_cast<int32_t>(token_index.size()) : -1);
    if (mask[i] != M{0}) {
      token_index.push_back(static_cast<int32_t>(i));
      positions.push_back(static_cast<int32_t>(static_cast<int64_t>(i) % c.length));
    }
    if ((static_cast<int64_t>(i) + 1) % c.length == 0)
      cu_seqlens.push_back(static_cast<int32_t>(token_index.size()));
  }
  if (c.length == 0) cu_seqlens.assign(static_cast<size_t>(c.batch) + 1, 0);

  constexpr int32_t kUntouched = -77;
  DeviceBuffer<M> device_mask(mask);
  DeviceBuffer<int32_t> device_cu(std::vector<int32_t>(static_cast<size_t>(c.batch) + 1, kUntouched)),
      device_index(std::vector<int32_t>(elements, kUntouched)),
      device_positions(std::vector<int32_t>(elements, kUntouched)),
      device_packed(std::vector<int32_t>(elements, kUntouched)),
      workspace(packing_index_workspace_bytes(c.batch, c.length) / sizeof(int32_t));
  PackingIndexArgs args{device_mask.data(),
                        mask_dtype,
                        c.batch,
                        c.length,
                        device_cu.data(),
                        device_index.data(),
                        all_outputs ? device_positions.data() : nullptr,
                        all_outputs ? device_packed.data() : nullptr,
                        workspace.data()};
  check_ok(packing_index(args, nullptr), name);
  check(device_cu.download() == cu_seqlens, name + ": cu_seqlens");
  auto expected_index = token_index, expected_positions = positions;
  expected_index.resize(elements, kUntouched);
  expected_positions.resize(elements, kUntouched);
  check(device_index.download() == expected_index, name + ": token_index");
  if (!all_outputs) return;
  check(device_positions.download() == expected_positions, name + ": positions");
  check(device_packed.download() == packed_row, name + ": packed_row");

  constexpr int64_t kCols = 40;
  Random random(9);
  const auto rows = static_cast<int64_t>(elements), tokens = static_cast<int64_t>(token_index.size());
  TestMatrix<T> padded(rows, kCols), packed(rows, kCols, 8), unpacked(rows, kCols);
  padded.fill(random);
  check_ok(
      pack_rows({padded.view(), packed.view(), device_index.data(), device_cu.data() + c.batch}, nullptr),
      name);
  Matrix packed_view = packed.view();
  packed_view.rows = tokens;
  check_ok(unpack_rows({packed_view, unpacked.view(), device_packed.data()}, nullptr), name);
  packed.download();
  unpacked.download();
  bool packs = packed.gaps_untouched(tokens), unpacks = true;
  for (int64_t t = 0; t < tokens; t++) {
    for (int64_t i = 0; i < kCols; i++) {
      packs &= packed.value(t, i) == padded.value(token_index[static_cast<size_t>(t)], i);
    }
  }
  for (int64_t r = 0; r < rows; r++) {
    const bool token = packed_row[static_cast<size_t>(r)] >= 0;
    for (int64_t i = 0; i < kCols; i++) unpacks &= unpacked.value(r, i) == (token ? padded.value(r, i) : 0.0);
  }
  check(packs, name + ": packed rows, and none past the last token");
  check(unpacks, name + ": unpacked rows, zeros elsewhere");
}

void test_masks() {
  for (Fill fill : {Fill::kPrefix, Fill::kHoles, Fill::kAll, Fill::kNone, Fill::kSuffix}) {
    for (const auto& [batch, length] : std::initializer_list<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 5}, {1, 2048}, {1, 2049}, {7, 293}, {300, 7}, {2, 1030}}) {
      test_case<uint8_t, bf16>({batch, length, fill}, DType::kU8);
    }
  }
  test_case<int64_t, float>({5, 33, Fill::kHoles}, DType::kI64);
  test_case<int32_t, fp16>({5, 33, Fill::kPrefix}, DType::kI32);
  test_case<float, bf16>({5, 33, Fill::kHoles}, DType::kF32);
  test_case<int8_t, bf16>({5, 33, Fill::kHoles}, DType::kI8);
  test_case<uint8_t, bf16>({0, 5, Fill::kAll}, DType::kU8);
  test_case<uint8_t, bf16>({5, 0, Fill::kAll}, DType::kU8);
  test_case<uint8_t, bf16>({0, 0, Fill::kAll}, DType::kU8);
  test_case<uint8_t, bf16>({4, 9, Fill::kHoles}, DType::kU8, false);
  // More tiles than threads: the running total of the tile scan is carried on.
  test_case<uint8_t, bf16>({3, 2048 * 90 + 17, Fill::kHoles}, DType::kU8, false);
}

void test_bad_input() {
  DeviceBuffer<int32_t> some(8);
  PackingIndexArgs args;
  check_code(packing_index(args, nullptr), Code::kInvalidArgument, "no cu_seqlens");
  args.cu_seqlens = some.data();
  args.batch = 1 << 20;
  args.length = 1 << 12;
  check_code(packing_index(args, nullptr), Code::kInvalidArgument, "more than 2^31 - 1 elements");
  args.batch = 1;
  args.length = 4;
  check_code(packing_index(args, nullptr), Code::kInvalidArgument, "no mask");
  args.mask = args.token_index = args.workspace = some.data();
  args.mask_dtype = DType::kF16;
  check_code(packing_index(args, nullptr), Code::kUnsupported, "a mask of f16");
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_masks();
  test::test_bad_input();
  return test::report("kernel_packing");
}
