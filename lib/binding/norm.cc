#include <memory>
#include <utility>

#include "lib/binding/ops.h"
#include "lib/binding/stream.h"
#include "lib/binding/tensor.h"
#include "lib/engine/row_program.h"

namespace padless::binding {
namespace {

/** A tensor's storage where a row program wants an engine's own tensor. */
class StoredVector : public DeviceTensor {
 public:
  StoredVector(std::shared_ptr<Storage> storage, int64_t cols) : storage_(std::move(storage)), cols_(cols) {}
  Matrix view() const override { return storage_->matrix(1, cols_); }
  size_t bytes() const override { return storage_->bytes(); }

 private:
  const std::shared_ptr<Storage> storage_;
  const int64_t cols_;
};

/** norm(stream, x, rows, cols, kind, gamma, beta | null, eps, residual | null): Tensor. */
Napi::Value norm(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto x = reader.handle<TensorHandle>(info[1], "x");
  const int64_t rows = reader.integer(info[2], "x");
  const int64_t cols = reader.integer(info[3], "x");
  const auto kind =
      reader.one_of<NormKind>(info[4], "kind", {{"layer", NormKind::kLayer}, {"rms", NormKind::kRms}});
  const auto gamma = reader.handle<TensorHandle>(info[5], "gamma");
  const auto beta = reader.optional<TensorHandle>(info[6], "beta");
  const auto eps = static_cast<float>(reader.number(info[7], "eps"));
  const auto residual = reader.optional<TensorHandle>(info[8], "residual");
  std::vector<Matrix> matrices = {read_matrix(reader, x, rows, cols, "x"), {}};
  read_matrix(reader, gamma, 1, cols, "gamma");
  if (beta) read_matrix(reader, beta, 1, cols, "beta");
  if (residual) matrices.push_back(read_matrix(reader, residual, rows, cols, "residual"));
  if (!reader.is_ok()) return reader.raise();

  auto created = Storage::create(stream, x->dtype(), rows * cols);
  if (!created.is_ok()) return throw_status(info.Env(), created.status());
  const std::shared_ptr<Storage> out = created.take();
  matrices[1] = out->matrix(rows, cols);

  NormStep step;
  step.kind = kind;
  step.gamma = std::make_shared<StoredVector>(gamma, cols);
  step.eps = eps;
  if (beta) step.beta = std::make_shared<StoredVector>(beta, cols);
  Operands inputs = {x, gamma};
  if (beta) inputs.push_back(beta);
  if (residual) inputs.push_back(residual);
  stream->run(std::move(inputs), {out},
              [matrices = std::move(matrices), step, rows, cols](Engine& engine, Stream& queue) mutable {
                RowProgram program;
                step.in = program.bound(0, cols);
                step.out = program.bound(1, cols);
                if (matrices.size() == 3) step.residual = program.bound(2, cols);
                program.steps = {step};
                return engine.run_rows(queue, program, matrices, rows);
              });
  return TensorHandle::wrap(info.Env(), out);
}

/** l2Normalize(stream, x, rows, cols): Tensor. */
Napi::Value l2_normalize(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto stream = reader.handle<StreamHandle>(info[0], "stream");
  const auto x = reader.handle<TensorHandle>(info[1], "x");
  const int64_t rows = reader.integer(info[2], "x");
  const int64_t cols = reader.integer(info[3], "x");
  const Matrix in = read_matrix(reader, x, rows, cols, "x");
  if (!reader.is_ok()) return reader.raise();

  auto created = Storage::create(stream, x->dtype(), rows * cols);
  if (!created.is_ok()) return throw_status(info.Env(), created.status());
  const std::shared_ptr<Storage> out = created.take();
  stream->run({x}, {out}, [in, result = out->matrix(rows, cols)](Engine& engine, Stream& queue) {
    RowProgram program;
    const Slot from = program.bound(0, in.cols);
    const Slot to = program.bound(1, in.cols);
    program.steps = {L2NormalizeStep{.in = from, .out = to}};
    const Matrix matrices[] = {in, result};
    return engine.run_rows(queue, program, matrices, in.rows);
  });
  return TensorHandle::wrap(info.Env(), out);
}

}  // namespace

void init_norm(Napi::Env env, Napi::Object exports) {
  export_function<norm>(env, exports, "norm");
  export_function<l2_normalize>(env, exports, "l2Normalize");
}

}  // namespace padless::binding
