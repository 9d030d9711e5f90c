#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "lib/core/thread_pool.h"
#include "lib/engine/cpu/gemm/select.h"
#include "lib/engine/cpu/linear.h"

namespace padless {
namespace {

/** Codes of rows and of weights are at most 255 and 127: their products then sum up within an int32. */
constexpr int64_t kMostI8Features = std::numeric_limits<int32_t>::max() / (255 * 127);

/** Whether no sum over so many inputs can overflow. */
bool sums_fit(const GemmKernel& kernel, int64_t in_features) {
  return kernel.panel != PanelFormat::kI8 || in_features <= kMostI8Features;
}

}  // namespace

/** Fills one weight, panel by panel; panels are independent of each other. */
class LinearPacker {
 public:
  LinearPacker(const GemmKernel& kernel, const LinearSource& source)
      : kernel_(kernel), source_(source), weight_(std::make_shared<CpuLinearWeight>()) {}

  Status allocate();
  void pack(int threads);
  std::shared_ptr<const LinearWeight> take() { return std::move(weight_); }

  static std::shared_ptr<const LinearWeight> adopt(const GemmKernel& kernel, const PackedLinear& packed);

 private:
  void pack_panel(int64_t panel, float* row_values);
  template <class Element, class Convert>
  void scatter_row(const float* values, int64_t panel, int vector, int lane, Convert convert);
  void scatter_quantised(const float* values, int64_t panel, int vector, int lane);

  const GemmKernel& kernel_;
  const LinearSource& source_;
  std::shared_ptr<CpuLinearWeight> weight_;
};

Status LinearPacker::allocate() {
  int64_t rows = 0;
  bool has_bias = false;
  for (const LinearPart& part : source_.parts) {
    rows += part.weight.shape[0];
    has_bias = has_bias || part.bias.data;
  }
  CpuLinearWeight& weight = *weight_;
  weight.kernel_ = &kernel_;
  weight.in_features_ = source_.parts[0].weight.shape[1];
  weight.out_features_ = source_.glu ? rows / 2 : rows;
  weight.glu_ = source_.glu;
  weight.layout_ = PanelLayout(kernel_, weight.in_features_, weight.out_features_, source_.glu);

  const size_t lane_bytes = static_cast<size_t>(weight.layout_.lanes_total()) * 4;
  const auto reserve = [&](WeightBlock& block, size_t bytes) {
    block = WeightBlock::allocate(bytes);
    if (block) weight.bytes_ += bytes;
    return static_cast<bool>(block);
  };
  bool enough = reserve(weight.panels_, static_cast<size_t>(weight.layout_.bytes_total()));
  if (has_bias) enough = enough && reserve(weight.bias_, lane_bytes);
  if (kernel_.panel == PanelFormat::kI8) {
    enough = enough && reserve(weight.scales_, lane_bytes) && reserve(weight.column_sums_, lane_bytes);
  }
  PADLESS_CHECK(enough, Code::kOutOfMemory, "weight", "no memory for a packed weight of ",
                weight.layout_.bytes_total(), " bytes");
  return Status::ok();
}

template <class Element, class Convert>
void LinearPacker::scatter_row(const float* values, int64_t panel, int vector, int lane, Convert convert) {
  const PanelLayout& layout = weight_->layout_;
  const int64_t group = kernel_.group;
  const int64_t step_stride = int64_t{layout.vectors(panel)} * kernel_.lanes * group;
  Element* out = reinterpret_cast<Element*>(weight_->panels_.get() + layout.byte_offset(panel)) +
                 (int64_t{vector} * kernel_.lanes + lane) * group;
  const int64_t in_features = weight_->in_features_;
  for (int64_t k = 0; k < in_features; ++k) out[(k / group) * step_stride + k % group] = convert(values[k]);
}

void LinearPacker::scatter_quantised(const float* values, int64_t panel, int vector, int lane) {
  const int64_t in_features = weight_->in_features_;
  float largest = 0;
  for (int64_t k = 0; k < in_features; ++k) largest = std::max(largest, std::abs(values[k]));
  const float scale = largest / 127.0f;
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  int32_t sum = 0;
  scatter_row<int8_t>(values, panel, vector, lane, [&](float value) {
    const int32_t code = static_cast<int32_t>(std::nearbyint(value * inverse));
    sum += code;
    return static_cast<int8_t>(code);
  });
  const int64_t index = weight_->layout_.first_lane(panel) + int64_t{vector} * kernel_.lanes + lane;
  reinterpret_cast<float*>(weight_->scales_.get())[index] = scale;
  reinterpret_cast<int32_t*>(weight_->column_sums_.get())[index] = sum;
}

void LinearPacker::pack_panel(int64_t panel, float* row_values) {
  const PanelLayout& layout = weight_->layout_;
  const int64_t in_features = weight_->in_features_;
  for (int vector = 0; vector < layout.vectors(panel); ++vector) {
    for (int lane = 0; lane < kernel_.lanes; ++lane) {
      const LinearRow source = source_.row(layout.source_row(panel, vector, lane));
      if (!source.part) continue;
      read_floats(source.part->weight, source.row * in_features, in_features, row_values);
      switch (kernel_.panel) {
        case PanelFormat::kF32:
          scatter_row<float>(row_values, panel, vector, lane, [](float value) { return value; });
          break;
        case PanelFormat::kBF16:
          scatter_row<uint16_t>(row_values, panel, vector, lane, float_to_bf16);
          break;
        case PanelFormat::kI8:
          scatter_quantised(row_values, panel, vector, lane);
          break;
      }
      if (source.part->bias.data) {
        const int64_t index = layout.first_lane(panel) + int64_t{vector} * kernel_.lanes + lane;
        read_floats(source.part->bias, source.row, 1, reinterpret_cast<float*>(weight_->bias_.get()) + index);
      }
    }
  }
}

void LinearPacker::pack(int threads) {
  std::atomic<int64_t> next{0};
  const int64_t panels = weight_->layout_.panels();
  ThreadPool::shared().run(static_cast<int>(std::min<int64_t>(threads, panels)), [&](int, int) {
    std::vector<float> row_values(static_cast<size_t>(weight_->in_features_));
    for (int64_t panel = next++; panel < panels; panel = next++) pack_panel(panel, row_values.data());
  });
}

std::shared_ptr<const LinearWeight> LinearPacker::adopt(const GemmKernel& kernel,
                                                        const PackedLinear& packed) {
  if (!sums_fit(kernel, packed.in_features)) return nullptr;
  auto weight = std::make_shared<CpuLinearWeight>();
  weight->kernel_ = &kernel;
  weight->in_features_ = packed.in_features;
  weight->out_features_ = packed.out_features;
  weight->glu_ = packed.glu;
  weight->layout_ = PanelLayout(kernel, packed.in_features, packed.out_features, packed.glu);
  const size_t lane_bytes = static_cast<size_t>(weight->layout_.lanes_total()) * 4;
  const size_t code_bytes = kernel.panel == PanelFormat::kI8 ? lane_bytes : 0;
  const auto& [panels, bias, scales, column_sums] = packed.parts;
  if (panels.size() != static_cast<size_t>(weight->layout_.bytes_total()) || scales.size() != code_bytes ||
      column_sums.size() != code_bytes || (!bias.empty() && bias.size() != lane_bytes)) {
    return nullptr;
  }
  weight->panels_ = WeightBlock::borrow(panels.data(), panels.size());
  weight->bias_ = WeightBlock::borrow(bias.data(), bias.size());
  weight->scales_ = WeightBlock::borrow(scales.data(), scales.size());
  weight->column_sums_ = WeightBlock::borrow(column_sums.data(), column_sums.size());
  weight->bytes_ = panels.size() + bias.size() + scales.size() + column_sums.size();
  weight->owner_ = packed.owner;
  return weight;
}

std::shared_ptr<const LinearWeight> adopt_linear_cpu(const CpuContext& context, const PackedLinear& packed) {
  const GemmKernel* kernel = select_gemm_kernel(context.isa, packed.compute);
  return kernel ? LinearPacker::adopt(*kernel, packed) : nullptr;
}

std::string packing_cpu(const CpuContext& context) {
  std::string text;
  for (ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kI8}) {
    const GemmKernel& kernel = *select_gemm_kernel(context.isa, compute);
    text += concat(kernel.lanes, ' ', kernel.vectors, ' ', kernel.glu_vectors, ' ', kernel.group, ' ',
                   kernel.step_multiple, ';');
  }
  return text;
}

Result<std::shared_ptr<const LinearWeight>> pack_linear_for(const GemmKernel& kernel, int threads,
                                                            const LinearSource& source) {
  PADLESS_RETURN_IF_ERROR(check_linear_source(source));
  const int64_t in_features = source.parts[0].weight.shape[1];
  PADLESS_CHECK(sums_fit(kernel, in_features), Code::kUnsupported, "weight", "int8 sums of ", in_features,
                " products could overflow; ", kMostI8Features, " are safe: use dtype 'bf16' or 'f32'");
  LinearPacker packer(kernel, source);
  PADLESS_RETURN_IF_ERROR(packer.allocate());
  packer.pack(threads);
  return packer.take();
}

Result<std::shared_ptr<const LinearWeight>> pack_linear_cpu(const CpuContext& context,
                                                            const LinearSource& source) {
  const GemmKernel* kernel = select_gemm_kernel(context.isa, source.compute);
  PADLESS_CHECK(kernel, Code::kUnsupported, "dtype",
                "the CPU engine computes linear layers in f32, bf16 or int8, not in f16 or fp8");
  return pack_linear_for(*kernel, context.threads, source);
}

}  // namespace padless
