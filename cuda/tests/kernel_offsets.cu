// Matrices whose offsets do not fit in 32 bits: rows 2^30 elements apart, of which a page each exists. Every
// kernel must give the bits that it gives for the same rows close together; an offset that wraps reads
// another row or faults.
#include <sys/mman.h>

#include <cstring>
#include <functional>

#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {
namespace {

constexpr int64_t kFarStride = int64_t{1} << 30;

// Matrices of one run, all far apart or all close together, with the same values either way.
class Matrices {
 public:
  explicit Matrices(bool far) : far_(far) {}
  Matrices(const Matrices&) = delete;
  Matrices& operator=(const Matrices&) = delete;
  ~Matrices() {
    for (const auto& [address, bytes] : mapped_) munmap(address, bytes);
  }

  template <class T>
  Matrix zeros(int64_t rows, int64_t cols) {
    const int64_t stride = far_ ? kFarStride : cols;
    const size_t bytes = static_cast<size_t>((rows - 1) * stride + cols) * sizeof(T);
    void* address =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(address != MAP_FAILED, concat("address space of ", bytes >> 30, " GiB"));
    mapped_.emplace_back(address, bytes);
    return {address, dtype_of<T>, rows, cols, stride};
  }
  template <class T>
  Matrix random(int64_t rows, int64_t cols) {
    const Matrix matrix = zeros<T>(rows, cols);
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t c = 0; c < cols; c++) matrix.row<T>(r)[c] = static_cast<T>(random_.uniform());
    }
    return matrix;
  }
  template <class T>
  void keep(const Matrix& matrix) {
    check_cuda(cudaDeviceSynchronize(), "synchronise");
    for (int64_t r = 0; r < matrix.rows; r++) {
      for (int64_t c = 0; c < matrix.cols; c++) results.push_back(static_cast<float>(matrix.row<T>(r)[c]));
    }
  }

  std::vector<float> results;

 private:
  bool far_;
  Random random_;
  std::vector<std::pair<void*, size_t>> mapped_;
};

void expect_same(const char* what, const std::function<void(Matrices&)>& run) {
  Matrices near(false), far(true);
  run(near);
  run(far);
  bool changed = false;  // the kernel has written something
  for (float value : near.results) changed |= value != 0.0f;
  check(changed && near.results.size() == far.results.size() &&
            std::memcmp(near.results.data(), far.results.data(), near.results.size() * sizeof(float)) == 0,
        concat(what, " of rows 2^30 elements apart"));
}

constexpr int64_t kRows = 5, kCols = 64;  // row 4 begins at 2^32

void test_rows() {
  DeviceBuffer<float> gamma(std::vector<float>(kCols, 1.25f));
  DeviceBuffer<int32_t> index(std::vector<int32_t>{4, 0, 3, -1, 2}), sums(std::vector<int32_t>{0, 2, 5});
  DeviceBuffer<int32_t> positions(std::vector<int32_t>{4, 3, 2, 1, 4}),
      ids(std::vector<int32_t>{0, 4, 3, 2, 1});
  expect_same("residual_norm", [&](Matrices& m) {
    ResidualNormArgs args;
    args.in = m.random<bf16>(kRows, kCols);
    args.residual = m.random<bf16>(kRows, kCols);
    args.add = m.random<bf16>(kRows, kCols);
    args.sum = m.zeros<bf16>(kRows, kCols);
    args.out = m.zeros<bf16>(kRows, kCols);
    args.gamma = gamma.data();
    check_ok(residual_norm(args, nullptr), "residual_norm");
    m.keep<bf16>(args.out);
    m.keep<bf16>(args.sum);
  });
  expect_same("embed_norm", [&](Matrices& m) {
    EmbedNormArgs args;
    args.word = m.random<bf16>(kRows, kCols);
    args.position = m.random<bf16>(kRows, kCols);
    args.ids = ids.data();
    args.positions = positions.data();
    args.gamma = gamma.data();
    args.out = m.zeros<bf16>(kRows, kCols);
    check_ok(embed_norm(args, nullptr), "embed_norm");
    m.keep<bf16>(args.out);
  });
  expect_same("l2_normalize", [&](Matrices& m) {
    const L2NormalizeArgs args{m.random<float>(kRows, kCols), m.zeros<float>(kRows, kCols)};
    check_ok(l2_normalize(args, nullptr), "l2_normalize");
    m.keep<float>(args.out);
  });
  expect_same("gather_rows", [&](Matrices& m) {
    const GatherRowsArgs args{m.random<bf16>(kRows, kCols), m.zeros<float>(kRows, kCols), index.data()};
    check_ok(gather_rows(args, nullptr), "gather_rows");
    m.keep<float>(args.out);
  });
  expect_same("cast_rows", [&](Matrices& m) {
    const CastRowsArgs args{m.random<float>(kRows, kCols), m.zeros<fp16>(kRows, kCols)};
    check_ok(cast_rows(args, nullptr), "cast_rows");
    m.keep<fp16>(args.out);
  });
  expect_same("pool_rows", [&](Matrices& m) {
    const PoolRowsArgs args{PoolMode::kMean, m.random<bf16>(kRows, kCols), m.zeros<float>(2, kCols),
                            sums.data()};
    check_ok(pool_rows(args, nullptr), "pool_rows");
    m.keep<float>(args.out);
  });
  expect_same("head_norm", [&](Matrices& m) {
    HeadNormArgs args{
        .data = m.random<bf16>(kRows, kCols), .heads = 2, .head_dim = 32, .gamma = gamma.data()};
    check_ok(head_norm(args, nullptr), "head_norm");
    m.keep<bf16>(args.data);
  });
  expect_same("rope", [&](Matrices& m) {
    RopeArgs args{.data = m.random<bf16>(kRows, kCols),
                  .table = m.random<float>(kRows, 32),
                  .heads = 2,
                  .head_dim = 32,
                  .rotary_dim = 32};
    check_ok(rope(args, nullptr), "rope");
    m.keep<bf16>(args.data);
  });
}

template <class T>
void test_linear(const char* what, GemmPlan plan) {
  expect_same(what, [&](Matrices& m) {
    LinearArgs args;
    args.in = m.random<T>(kRows, kCols);
    args.weight = m.random<T>(kRows, kCols);
    args.residual = m.random<T>(kRows, kRows);
    args.out = m.zeros<T>(kRows, kRows);
    DeviceBuffer<float> workspace(linear_workspace_bytes(args, plan) / sizeof(float));
    check_ok(linear(args, plan, workspace.data(), nullptr), what);
    m.keep<T>(args.out);
  });
}

void test_attention(const char* what, bool disentangled, int compute_capability = 80) {
  const std::vector<int32_t> sums{0, 1, 5};
  const AttentionShape shape{.heads = 2, .kv_heads = 2, .head_dim = 32};
  DeviceBuffer<int32_t> device_sums(sums), rows(std::vector<int32_t>{0, 2, 4});
  auto plan = plan_attention(sums, shape, {}, {.compute_capability = compute_capability},
                             {.strategy = AttentionStrategy::kSingle});
  check_ok(plan.status(), what);
  DeviceBuffer<AttentionTile> tiles(plan.value().tiles);
  expect_same(what, [&](Matrices& m) {
    VarlenAttentionArgs args;
    args.shape = shape;
    args.q = m.random<bf16>(kRows, kCols);
    args.k = m.random<bf16>(kRows, kCols);
    args.v = m.random<bf16>(kRows, kCols);
    args.out = m.zeros<bf16>(kRows, kCols);
    const Matrix lse = m.zeros<float>(kRows, kRows);  // the stride between heads is wide as well
    args.lse = static_cast<float*>(lse.data);
    args.lse_stride = lse.stride;
    args.cu_seqlens = device_sums.data();
    args.scale = 0.5f;
    if (disentangled) {
      args.bias.position_keys = m.random<bf16>(kRows, kCols);
      args.bias.position_queries = m.random<bf16>(kRows, kCols);
      args.bias.relative_rows = rows.data();
      args.bias.reach = 1;
    }
    check_ok(varlen_attention(args, plan.value(), {tiles.data()}, nullptr), what);
    m.keep<bf16>(args.out);
    Matrix written = lse;
    written.rows = shape.heads;
    m.keep<float>(written);
  });
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_rows();
  test::test_linear<bf16>("linear on tensor cores", {3, 1});
  test::test_linear<bf16>("linear with split K", {3, 2});
  test::test_linear<float>("linear in f32", {});
  test::test_attention("attention", false);
  test::test_attention("disentangled attention", true);
  test::test_attention("attention by TMA", false, 90);
  return test::report("kernel_offsets");
}
