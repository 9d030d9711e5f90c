// CPU attention as a fraction of the multiply-add roof of its dtype, measured around each sample.
//
//   attention_bench [--threads 1,2] [--isa portable|neon|avx2|avx512] [--samples 7] [--tokens 2560]
//                   [--only TEXT]    lines whose name contains it
//                   [--dtype f32|bf16] [--bias none|alibi|relative|disentangled]
//
// Counted are the 4 length^2 head_dim operations of the two products of a head; softmax and biases are
// overhead. A sample counts only if the roofs before and after it agree within 5%; the medians of those are
// printed.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "bench/native/roof.h"
#include "lib/engine/cpu/attention/attention.h"
#include "lib/engine/cpu/memory.h"

namespace padless::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::vector<int> threads = {1, 2};
  IsaLevel level = IsaLevel::kAvx512;
  int samples = 7;
  int tokens = 2560;
  std::string only;
  ComputeType compute = ComputeType::kF32;
  std::string bias = "none";
};

/** Random tables of one bias, for distances up to `reach`. */
class Bias {
 public:
  Bias(const std::string& kind, const AttentionShape& shape, int64_t reach) {
    const int64_t distances = 2 * reach + 1;
    bias_.reach = reach;
    if (kind == "alibi") bias_.alibi_slopes = table(1, shape.heads);
    if (kind == "relative") bias_.relative = table(shape.heads, distances);
    if (kind != "disentangled") return;
    bias_.position_keys = table(distances, shape.heads * shape.head_dim);
    bias_.position_queries = table(distances, shape.heads * shape.head_dim);
    std::vector<int32_t> rows(static_cast<size_t>(distances));
    std::iota(rows.begin(), rows.end(), 0);
    bias_.relative_rows = upload({rows.data(), DType::kI32, {distances}});
  }
  const AttentionBias& view() const { return bias_; }

 private:
  const DeviceTensor* table(int64_t rows, int64_t cols) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (float& value : values) value = normal(random);
    return upload({values.data(), DType::kF32, {rows, cols}});
  }
  const DeviceTensor* upload(const HostTensor& tensor) {
    tensors_.push_back(create_cpu_tensor(bytes_, tensor, tensor.dtype, 1).take());
    return tensors_.back().get();
  }

  ByteCounter bytes_ = std::make_shared<ByteCount>();
  std::vector<std::shared_ptr<const DeviceTensor>> tensors_;
  AttentionBias bias_;
};

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void report(const std::string& name, const CpuContext& context, const Options& options, double operations,
            const std::function<void()>& work) {
  if (name.find(options.only) == std::string::npos) return;
  work();
  const int repeats = std::max(1, static_cast<int>(0.008 / seconds_of(work)));
  std::vector<double> rates, fractions, times;
  for (int attempt = 0; attempt < 5 * options.samples && static_cast<int>(rates.size()) < options.samples;
       ++attempt) {
    const double before = measure_roof(context.isa, options.compute, context.threads, 2);
    const double time = seconds_of([&] {
                          for (int i = 0; i < repeats; ++i) work();
                        }) /
                        repeats;
    const double after = measure_roof(context.isa, options.compute, context.threads, 2);
    if (std::abs(before - after) > 0.05 * std::max(before, after)) continue;
    rates.push_back(operations / time * 1e-9);
    fractions.push_back(before > 0 ? 2 * operations / time / (before + after) : 0);
    times.push_back(time * 1e3);
  }
  std::printf("%-34s threads %d  %9.4f ms  %7.1f GFLOP/s  %5.1f%% of roof  (%zu samples)\n", name.c_str(),
              context.threads, median(times), median(rates), 100 * median(fractions), rates.size());
  std::fflush(stdout);
}

/** Attention of `tokens` tokens in sequences of `length`, q, k and v interleaved as one product leaves them.
 */
void bench_lengths(const CpuContext& context, const Options& options, const char* model,
                   const AttentionShape& shape, int32_t length, int32_t tokens) {
  const int32_t sequences = std::max(1, tokens / length);
  std::vector<int32_t> cu_seqlens;
  for (int32_t b = 0; b <= sequences; ++b) cu_seqlens.push_back(b * length);
  const int64_t rows = cu_seqlens.back();
  const int64_t cols = shape.heads * shape.head_dim;
  static std::mt19937 random(1);
  std::normal_distribution<float> normal;
  // Memory as the engine allocates it, huge pages included.
  const AlignedBlock qkv =
      AlignedBlock::allocate(static_cast<size_t>(rows * 3 * cols) * sizeof(float)).take();
  const AlignedBlock out = AlignedBlock::allocate(static_cast<size_t>(rows * cols) * sizeof(float)).take();
  for (int64_t i = 0; i < rows * 3 * cols; ++i) static_cast<float*>(qkv.data())[i] = normal(random);
  const Matrix all = {qkv.data(), DType::kF32, rows, 3 * cols, 3 * cols};
  AttentionArgs args;
  args.shape = shape;
  args.q = all.columns(0, cols);
  args.k = all.columns(cols, cols);
  args.v = all.columns(2 * cols, cols);
  args.out = {out.data(), DType::kF32, rows, cols, cols};
  args.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
  const Bias bias(options.bias, shape, 255);
  args.bias = bias.view();
  args.compute = options.compute;
  PackedBatch batch;
  batch.cu_seqlens = cu_seqlens;
  const AttentionPlan plan = plan_attention(cu_seqlens, shape, context.threads);
  const double operations = 4.0 * static_cast<double>(rows * length * cols);
  report(concat(model, ", ", sequences, " of ", length), context, options, operations, [&] {
    if (!attention_cpu(context, plan, batch, args).is_ok()) std::abort();
  });
}

void run(const Options& options) {
  CpuContext context;
  context.isa = restrict_isa(detect_cpu_isa(), options.level);
  context.caches = detect_cache_sizes();
  std::printf("kernels: %s\n", isa_name(context.isa).c_str());
  for (int threads : options.threads) {
    context.threads = threads;
    for (int32_t length : {12, 16, 33, 64, 80, 128, 307, 512, 2048}) {
      bench_lengths(context, options, "MiniLM 12 x 32", {12, 12, 32}, length, options.tokens);
      bench_lengths(context, options, "BERT-base 12 x 64", {12, 12, 64}, length, options.tokens);
    }
  }
}

std::vector<int> numbers(const std::string& list) {
  std::vector<int> result;
  for (size_t at = 0; at < list.size();
       at = list.find(',', at) == std::string::npos ? list.size() : list.find(',', at) + 1) {
    result.push_back(std::atoi(list.c_str() + at));
  }
  return result;
}

}  // namespace
}  // namespace padless::bench

int main(int argc, char** argv) {
  using padless::IsaLevel;
  padless::bench::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--threads") {
      options.threads = padless::bench::numbers(value);
    } else if (name == "--isa") {
      options.level = padless::find_isa_level(value).value_or(options.level);
    } else if (name == "--samples") {
      options.samples = std::atoi(value.c_str());
    } else if (name == "--tokens") {
      options.tokens = std::atoi(value.c_str());
    } else if (name == "--only") {
      options.only = value;
    } else if (name == "--dtype" && (value == "f32" || value == "bf16")) {
      options.compute = value == "bf16" ? padless::ComputeType::kBF16 : padless::ComputeType::kF32;
    } else if (name == "--bias" &&
               (value == "none" || value == "alibi" || value == "relative" || value == "disentangled")) {
      options.bias = value;
    } else {
      std::fprintf(stderr, "unknown option %s %s\n", name.c_str(), value.c_str());
      return EXIT_FAILURE;
    }
  }
  padless::bench::run(options);
}
