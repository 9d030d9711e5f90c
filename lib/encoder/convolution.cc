#include "lib/encoder/convolution.h"

namespace padless {

Result<std::shared_ptr<const LinearWeight>> bind_convolution(const EncoderSpec& spec, WeightBinder& binder) {
  const int64_t hidden = spec.hidden_size;
  const int64_t kernel = spec.convolution.kernel;
  const int64_t group = hidden / spec.convolution.groups;
  auto stored = binder.floats("convolution.weight", {hidden, group, kernel});
  if (!stored.is_ok()) return stored.status();
  std::vector<float> weight(static_cast<size_t>(hidden * kernel * hidden), 0.f);
  for (int64_t out = 0; out < hidden; ++out) {
    const int64_t first_input = out / group * group;
    for (int64_t in = 0; in < group; ++in) {
      for (int64_t tap = 0; tap < kernel; ++tap) {
        weight[(out * kernel + tap) * hidden + first_input + in] =
            stored.value()[(out * group + in) * kernel + tap];
      }
    }
  }
  return binder.computed_linear("convolution.weight", weight, kernel * hidden, hidden, "convolution.bias");
}

std::vector<int32_t> shifted_rows(std::span<const int32_t> cu_seqlens, int64_t shift) {
  std::vector<int32_t> rows(static_cast<size_t>(cu_seqlens.back()), -1);
  for (size_t b = 0; b + 1 < cu_seqlens.size(); ++b) {
    for (int64_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t) {
      const int64_t row = t + shift;
      if (row >= cu_seqlens[b] && row < cu_seqlens[b + 1]) rows[t] = static_cast<int32_t>(row);
    }
  }
  return rows;
}

}  // namespace padless
