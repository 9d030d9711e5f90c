#include "lib/engine/weights.h"

#include <algorithm>

#include "lib/core/convert.h"

namespace padless {

Status check_upload(const HostTensor& tensor, DType dtype) {
  const bool integers = tensor.dtype == DType::kI32 && dtype == DType::kI32;
  PADLESS_CHECK(integers || (is_float_dtype(tensor.dtype) && is_float_dtype(dtype)), Code::kUnsupported,
                "dtype", "a tensor of ", dtype_name(tensor.dtype), " cannot be stored as ", dtype_name(dtype),
                "; f32, f16 and bf16 convert into each other, and i32 stays i32");
  PADLESS_CHECK(tensor.shape.size() == 1 || tensor.shape.size() == 2, Code::kUnsupported, "shape",
                "a tensor of rank ", tensor.shape.size(), " cannot be uploaded; rank 1 and 2 can");
  PADLESS_CHECK(std::ranges::all_of(tensor.shape, [](int64_t dim) { return dim >= 0; }),
                Code::kInvalidArgument, "shape", "a tensor has a negative dimension");
  PADLESS_CHECK(tensor.data != nullptr || tensor.elements() == 0, Code::kInvalidArgument, "data",
                "a tensor of ", tensor.elements(), " elements has no data");
  return Status::ok();
}

LinearRow LinearSource::row(int64_t stacked_row) const {
  if (stacked_row < 0) return {};
  for (const LinearPart& part : parts) {
    if (stacked_row < part.weight.shape[0]) return {&part, stacked_row};
    stacked_row -= part.weight.shape[0];
  }
  return {};
}

Status check_linear_source(const LinearSource& source) {
  PADLESS_CHECK(!source.parts.empty(), Code::kInvalidArgument, "parts",
                "a linear layer needs at least one part");
  const int64_t in_features = source.parts[0].weight.shape.size() == 2 ? source.parts[0].weight.shape[1] : 0;
  for (const LinearPart& part : source.parts) {
    const HostTensor& weight = part.weight;
    PADLESS_CHECK(weight.shape.size() == 2 && weight.shape[0] > 0 && weight.shape[1] > 0 && weight.data,
                  Code::kInvalidArgument, "weight", "a linear weight must be a [out, in] matrix");
    PADLESS_CHECK(weight.shape[1] == in_features, Code::kInvalidArgument, "weight", "stacked weights have ",
                  in_features, " and ", weight.shape[1], " inputs");
    PADLESS_CHECK(is_float_dtype(weight.dtype), Code::kUnsupported, "weight", "linear weights of dtype ",
                  dtype_name(weight.dtype), "; supported are f32, f16 and bf16");
    if (!part.bias.data) continue;
    PADLESS_CHECK(part.bias.elements() == weight.shape[0], Code::kInvalidArgument, "bias", "a bias of ",
                  part.bias.elements(), " elements for ", weight.shape[0], " outputs");
    PADLESS_CHECK(is_float_dtype(part.bias.dtype), Code::kUnsupported, "bias", "biases of dtype ",
                  dtype_name(part.bias.dtype), "; supported are f32, f16 and bf16");
  }
  if (source.glu) {
    PADLESS_CHECK(source.parts.size() == 2 && source.parts[0].weight.shape == source.parts[1].weight.shape,
                  Code::kInvalidArgument, "glu", "a GLU needs exactly two parts of equal shape: gate and up");
  }
  return Status::ok();
}

void read_floats(const HostTensor& tensor, int64_t first, int64_t count, float* dst) {
  const char* from =
      static_cast<const char*>(tensor.data) + first * static_cast<int64_t>(dtype_size(tensor.dtype));
  convert_elements(from, tensor.dtype, dst, DType::kF32, count);
}

}  // namespace padless
