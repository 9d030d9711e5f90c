#include <memory>
#include <utility>

#include "lib/binding/ops.h"
#include "lib/binding/stream.h"
#include "lib/binding/tensor.h"
#include "lib/engine/row_program.h"

namespace padless::binding {
namespace {

/** A linear layer in the engine's layout, made by an op of its home stream. */
class PackedWeight : public Produced {
 public:
  using Produced::Produced;
  std::shared_ptr<const LinearWeight> layer;
};

class WeightHandle : public Handle<WeightHandle, PackedWeight> {
 public:
  static constexpr const char* kName = "LinearWeight";
  static constexpr napi_type_tag kTag = {0x3ad95c80f6e1b274, 0xe8127b4dc09f5a63};
  using Handle::Handle;
};

Result<std::vector<std::byte>> to_host(Engine& engine, Stream& queue, const Storage& storage) {
  std::vector<std::byte> bytes(storage.bytes());
  PADLESS_RETURN_IF_ERROR(engine.copy_to_host(queue, bytes.data(), storage.data(), bytes.size()));
  PADLESS_RETURN_IF_ERROR(engine.wait(queue));
  return bytes;
}

/** packLinear(stream, weight, outFeatures, inFeatures, bias | null, compute): LinearWeight. */
Napi::Value pack_linear(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto weight = reader.handle<TensorHandle>(info[1], "weight");
  const int64_t out_features = reader.integer(info[2], "weight");
  const int64_t in_features = reader.integer(info[3], "weight");
  const auto bias = reader.optional<TensorHandle>(info[4], "bias");
  const auto compute = reader.one_of<ComputeType>(info[5], "compute",
                                                  {{"f32", ComputeType::kF32},
                                                   {"bf16", ComputeType::kBF16},
                                                   {"f16", ComputeType::kF16},
                                                   {"int8", ComputeType::kI8},
                                                   {"fp8", ComputeType::kFp8}});
  read_matrix(reader, weight, out_features, in_features, "weight");
  if (bias) read_matrix(reader, bias, 1, out_features, "bias");
  if (!reader.is_ok()) return reader.raise();

  Operands inputs = {weight};
  if (bias) inputs.push_back(bias);
  auto packed = std::make_shared<PackedWeight>(stream);
  stream->run(std::move(inputs), {packed},
              [weight, bias, out_features, in_features, compute, packed](Engine& engine, Stream& queue) {
                auto weight_bytes = to_host(engine, queue, *weight);
                if (!weight_bytes.is_ok()) return weight_bytes.status();
                LinearPart part;
                part.weight = {weight_bytes.value().data(), weight->dtype(), {out_features, in_features}};
                Result<std::vector<std::byte>> bias_bytes = std::vector<std::byte>();
                if (bias) {
                  bias_bytes = to_host(engine, queue, *bias);
                  if (!bias_bytes.is_ok()) return bias_bytes.status();
                  part.bias = {bias_bytes.value().data(), bias->dtype(), {out_features}};
                }
                LinearSource source;
                source.parts = {part};
                source.compute = compute;
                auto layer = engine.pack_linear(source);
                if (layer.is_ok()) packed->layer = layer.take();
                return layer.status();
              });
  return WeightHandle::wrap(info.Env(), std::move(packed));
}

/** linear(stream, x, rows, inFeatures, weight, outFeatures, activation, residual | null): Tensor. */
Napi::Value linear(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto x = reader.handle<TensorHandle>(info[1], "x");
  const int64_t rows = reader.integer(info[2], "x");
  const int64_t in_features = reader.integer(info[3], "x");
  const auto weight = reader.handle<WeightHandle>(info[4], "weight");
  const int64_t out_features = reader.integer(info[5], "weight");
  const auto activation = reader.one_of<Activation>(info[6], "activation",
                                                    {{"none", Activation::kNone},
                                                     {"gelu", Activation::kGeluErf},
                                                     {"gelu_tanh", Activation::kGeluTanh},
                                                     {"relu", Activation::kRelu},
                                                     {"silu", Activation::kSilu},
                                                     {"tanh", Activation::kTanh},
                                                     {"sigmoid", Activation::kSigmoid}});
  const auto residual = reader.optional<TensorHandle>(info[7], "residual");
  std::vector<Matrix> matrices = {read_matrix(reader, x, rows, in_features, "x"), {}};
  if (residual) matrices.push_back(read_matrix(reader, residual, rows, out_features, "residual"));
  if (!reader.is_ok()) return reader.raise();

  auto created = Storage::create(stream, x->dtype(), rows * out_features);
  if (!created.is_ok()) return throw_status(info.Env(), created.status());
  const std::shared_ptr<Storage> out = created.take();
  matrices[1] = out->matrix(rows, out_features);
  Operands inputs = {x, weight};
  if (residual) inputs.push_back(residual);
  stream->run(std::move(inputs), {out},
              [matrices = std::move(matrices), weight, activation, rows](Engine& engine, Stream& queue) {
                RowProgram program;
                LinearStep step;
                step.weight = weight->layer;
                step.activation = activation;
                step.in = program.bound(0, matrices[0].cols);
                step.out = program.bound(1, matrices[1].cols);
                if (matrices.size() == 3) step.residual = program.bound(2, matrices[2].cols);
                program.steps = {step};
                return engine.run_rows(queue, program, matrices, rows);
              });
  return TensorHandle::wrap(info.Env(), out);
}

}  // namespace

void init_linear(Napi::Env env, Napi::Object exports) {
  WeightHandle::define(env, {});
  export_function<pack_linear>(env, exports, "packLinear");
  export_function<linear>(env, exports, "linear");
}

}  // namespace padless::binding
