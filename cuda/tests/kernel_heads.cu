// head_norm and rope against fp64: odd sizes, heads inside wider rows, rows past the true count.
#include "cuda/tests/kernel_support.h"

namespace padless::cuda::test {
namespace {

struct HeadCase {
  int64_t rows, heads, head_dim;
  int64_t rotary_dim = 0;  // of rope
  bool interleaved = false;
  int64_t before = 0, after = 0;  // columns of the row around the heads
  int64_t table_gap = 0;
  int64_t rows_in_use = -1;  // read on the device; -1: all
  std::string name() const {
    return concat("[", rows, ", ", heads, " x ", head_dim, "] rotary ", rotary_dim,
                  interleaved ? " interleaved" : "", " columns around ", before, ",", after, " table gap ",
                  table_gap, " in use ", rows_in_use);
  }
};

// Random rows whose other columns are NaN: touching one shows.
template <class T>
class Heads {
 public:
  explicit Heads(const HeadCase& c)
      : c_(c),
        used_(c.rows_in_use < 0 ? c.rows : c.rows_in_use),
        random_(static_cast<uint64_t>(c.rows * 31 + c.heads * 7 + c.head_dim)),
        data_(c.rows, c.before + c.heads * c.head_dim + c.after),
        count_(std::vector<int32_t>{static_cast<int32_t>(used_)}) {
    for (int64_t r = 0; r < used_; r++) {
      for (int64_t i = 0; i < width(); i++) {
        data_.at(r, c.before + i) = static_cast<T>(random_.uniform(-3, 3));
        input_.push_back(data_.value(r, c.before + i));
      }
    }
    data_.upload();
  }
  Random& random() { return random_; }
  Matrix view() const { return data_.view().columns(c_.before, width()); }
  const int32_t* rows_on_device() const { return c_.rows_in_use < 0 ? nullptr : count_.data(); }
  int64_t used() const { return used_; }
  double input(int64_t row, int64_t head, int64_t i) const {
    return input_[static_cast<size_t>(row * width() + head * c_.head_dim + i)];
  }

  // expected(row, head, column) of Real = double, and of Real = float as the same-precision reference.
  template <class Exact, class Single>
  void compare(const std::string& what, Exact exact, Single single) {
    data_.download();
    ErrorRule<T> rule;
    bool untouched = true;
    for (int64_t r = 0; r < c_.rows; r++) {
      for (int64_t i = 0; i < data_.cols(); i++) {
        const int64_t column = i - c_.before;
        if (r >= used_ || column < 0 || column >= width()) {
          untouched &= std::isnan(data_.value(r, i));
          continue;
        }
        const int64_t head = column / c_.head_dim, x = column % c_.head_dim;
        rule.add(data_.value(r, i), rounded<T>(static_cast<double>(single(r, head, x))), exact(r, head, x));
      }
    }
    const std::string name = concat(what, " ", type_name<T>(), " ", c_.name());
    rule.check(name);
    check(untouched, name + ": other columns and rows untouched");
  }

 private:
  int64_t width() const { return c_.heads * c_.head_dim; }
  HeadCase c_;
  int64_t used_;
  Random random_;
  TestMatrix<T> data_;
  DeviceBuffer<int32_t> count_;
  std::vector<double> input_;
};

template <class Real, class T>
Real normalized(const Heads<T>& heads, const HeadCase& c, int64_t row, int64_t head, int64_t x, float gamma) {
  Real squares = 0;
  for (int64_t i = 0; i < c.head_dim; i++) {
    const Real value = static_cast<Real>(heads.input(row, head, i));
    squares += value * value;
  }
  const Real mean = squares / static_cast<Real>(c.head_dim);
  return static_cast<Real>(heads.input(row, head, x)) / std::sqrt(mean + Real{1e-6f}) * Real{gamma};
}

template <class T>
void test_head_norm(const HeadCase& c) {
  Heads<T> heads(c);
  const auto gamma = heads.random().template vector<float>(static_cast<size_t>(c.head_dim), 0.5f, 1.5f);
  DeviceBuffer<float> device_gamma(gamma);
  HeadNormArgs args;
  args.data = heads.view();
  args.heads = c.heads;
  args.head_dim = c.head_dim;
  args.gamma = device_gamma.data();
  args.rows_on_device = heads.rows_on_device();
  check_ok(head_norm(args, nullptr), c.name());
  const auto expected = [&]<class Real>(int64_t row, int64_t head, int64_t x, Real) {
    return normalized<Real>(heads, c, row, head, x, gamma[static_cast<size_t>(x)]);
  };
  heads.compare(
      "head_norm", [&](int64_t r, int64_t h, int64_t x) { return expected(r, h, x, 0.0); },
      [&](int64_t r, int64_t h, int64_t x) { return expected(r, h, x, 0.0f); });
}

// Column x of a rotated head: R(angle) applied to the pair that x belongs to.
template <class Real, class T>
Real rotated(const Heads<T>& heads, const HeadCase& c, TestMatrix<float>& table, int64_t row, int64_t head,
             int64_t x) {
  const int64_t pairs = c.rotary_dim / 2;
  if (x >= c.rotary_dim) return static_cast<Real>(heads.input(row, head, x));
  const int64_t pair = c.interleaved ? x / 2 : x % pairs;
  const bool second = c.interleaved ? x % 2 == 1 : x >= pairs;
  const int64_t other = c.interleaved ? x ^ 1 : second ? x - pairs : x + pairs;
  const Real cosine = static_cast<Real>(table.value(row, pair)),
             sine = static_cast<Real>(table.value(row, pairs + pair)),
             own = static_cast<Real>(heads.input(row, head, x)),
             its = static_cast<Real>(heads.input(row, head, other));
  return second ? its * sine + own * cosine : own * cosine - its * sine;
}

template <class T>
void test_rope(const HeadCase& c) {
  Heads<T> heads(c);
  TestMatrix<float> table(c.rows, c.rotary_dim, c.table_gap);
  for (int64_t r = 0; r < heads.used(); r++) {
    for (int64_t i = 0; i < c.rotary_dim / 2; i++) {
      const double angle = heads.random().uniform(-4, 4);
      table.at(r, i) = static_cast<float>(std::cos(angle));
      table.at(r, c.rotary_dim / 2 + i) = static_cast<float>(std::sin(angle));
    }
  }
  table.upload();
  RopeArgs args;
  args.data = heads.view();
  args.table = table.view();
  args.heads = c.heads;
  args.head_dim = c.head_dim;
  args.rotary_dim = c.rotary_dim;
  args.interleaved = c.interleaved;
  args.rows_on_device = heads.rows_on_device();
  check_ok(rope(args, nullptr), c.name());
  heads.compare(
      "rope", [&](int64_t r, int64_t h, int64_t x) { return rotated<double>(heads, c, table, r, h, x); },
      [&](int64_t r, int64_t h, int64_t x) { return rotated<float>(heads, c, table, r, h, x); });
}

template <class T>
void test_head_norms() {
  for (int64_t head_dim : {1, 7, 8, 32, 33, 64, 65, 96, 128, 129, 200, 256})
    test_head_norm<T>({.rows = 5, .heads = 3, .head_dim = head_dim});
  test_head_norm<T>({.rows = 9, .heads = 1, .head_dim = 64, .before = 64, .after = 128});
  test_head_norm<T>({.rows = 9, .heads = 2, .head_dim = 64, .before = 3, .after = 2});  // misaligned
  test_head_norm<T>({.rows = 7, .heads = 4, .head_dim = 128, .rows_in_use = 5});
  test_head_norm<T>({.rows = 7, .heads = 4, .head_dim = 32, .rows_in_use = 0});
  test_head_norm<T>({.rows = 0, .heads = 4, .head_dim = 32});
}

template <class T>
void test_ropes() {
  for (bool interleaved : {false, true}) {
    for (int64_t head_dim : {2, 6, 16, 32, 64, 96, 128, 256}) {
      test_rope<T>(
          {.rows = 5, .heads = 3, .head_dim = head_dim, .rotary_dim = head_dim, .interleaved = interleaved});
    }
    const HeadCase cases[] = {
        {.rows = 4, .heads = 2, .head_dim = 64, .rotary_dim = 32},  // partial
        {.rows = 4, .heads = 2, .head_dim = 65, .rotary_dim = 34},
        {.rows = 4, .heads = 2, .head_dim = 64, .rotary_dim = 64, .before = 128, .after = 64},
        {.rows = 4, .heads = 2, .head_dim = 64, .rotary_dim = 64, .before = 1, .after = 2},
        {.rows = 4, .heads = 2, .head_dim = 64, .rotary_dim = 64, .table_gap = 3},
        {.rows = 9, .heads = 5, .head_dim = 32, .rotary_dim = 32, .rows_in_use = 6},
        {.rows = 9, .heads = 5, .head_dim = 32, .rotary_dim = 0},
        {.rows = 0, .heads = 5, .head_dim = 32, .rotary_dim = 32},
    };
    for (HeadCase c : cases) {
      c.interleaved = interleaved;
      test_rope<T>(c);
    }
  }
}

void test_bad_input() {
  TestMatrix<bf16> data(4, 128);
  TestMatrix<float> table(4, 64), short_table(3, 64);
  DeviceBuffer<float> gamma(std::vector<float>(512, 1.0f));
  const auto norm = [&](Code code, const char* what, auto change) {
    HeadNormArgs args{.data = data.view(), .heads = 2, .head_dim = 64, .gamma = gamma.data()};
    change(args);
    check_code(head_norm(args, nullptr), code, what);
  };
  norm(Code::kOk, "head_norm", [](auto&) {});
  norm(Code::kInvalidArgument, "heads of other columns", [](auto& a) { a.heads = 3; });
  norm(Code::kInvalidArgument, "no heads", [](auto& a) { a.heads = 0; });
  norm(Code::kInvalidArgument, "no gamma", [](auto& a) { a.gamma = nullptr; });
  norm(Code::kUnsupported, "integers", [](auto& a) { a.data.dtype = DType::kI32; });
  norm(Code::kUnsupported, "wide heads",
       [](auto& a) { a.heads = 1, a.head_dim = a.data.cols = a.data.stride = 264; });
  const auto turn = [&](Code code, const char* what, auto change) {
    RopeArgs args{.data = data.view(), .table = table.view(), .heads = 2, .head_dim = 64, .rotary_dim = 64};
    change(args);
    check_code(rope(args, nullptr), code, what);
  };
  turn(Code::kOk, "rope", [](auto&) {});
  turn(Code::kInvalidArgument, "odd rotary_dim", [](auto& a) { a.rotary_dim = a.table.cols = 33; });
  turn(Code::kInvalidArgument, "rotary_dim above the head dim",
       [](auto& a) { a.rotary_dim = a.table.cols = a.table.stride = 66; });
  turn(Code::kInvalidArgument, "a table of other columns", [](auto& a) { a.rotary_dim = 32; });
  turn(Code::kInvalidArgument, "a table of fewer rows", [&](auto& a) { a.table = short_table.view(); });
  turn(Code::kInvalidArgument, "a table in bf16", [](auto& a) { a.table.dtype = DType::kBF16; });
}

}  // namespace
}  // namespace padless::cuda::test

int main() {
  using namespace padless::cuda;
  test::test_head_norms<bf16>();
  test::test_head_norms<fp16>();
  test::test_head_norms<float>();
  test::test_ropes<bf16>();
  test::test_ropes<fp16>();
  test::test_ropes<float>();
  test::test_bad_input();
  return test::report("kernel_heads");
}
