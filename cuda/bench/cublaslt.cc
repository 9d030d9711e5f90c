#include "cuda/bench/cublaslt.h"

#include <dlfcn.h>

namespace padless::cuda::bench {
namespace {

// Values of cublasLt.h and library_types.h, the same since CUDA 11.
constexpr int kBf16 = 14, kF32 = 0, kCompute32F = 68, kTransposed = 1;
constexpr uint32_t kGeluBias = 36;
constexpr int kDescTransA = 3, kDescEpilogue = 7, kDescBias = 8, kLayoutBatchCount = 5,
              kLayoutBatchOffset = 6, kPreferenceWorkspace = 1;
constexpr size_t kWorkspaceBytes = size_t{32} << 20;

struct HeuristicResult {
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

}  // namespace

struct CublasLt::Library {
  void* handle = nullptr;
  void* cublas = nullptr;
  void* workspace = nullptr;
  int (*create)(void**) = nullptr;
  int (*destroy)(void*) = nullptr;
  int (*desc_create)(void**, int, int) = nullptr;
  int (*desc_set)(void*, int, const void*, size_t) = nullptr;
  int (*desc_destroy)(void*) = nullptr;
  int (*layout_create)(void**, int, uint64_t, uint64_t, int64_t) = nullptr;
  int (*layout_set)(void*, int, const void*, size_t) = nullptr;
  int (*layout_destroy)(void*) = nullptr;
  int (*preference_create)(void**) = nullptr;
  int (*preference_set)(void*, int, const void*, size_t) = nullptr;
  int (*preference_destroy)(void*) = nullptr;
  int (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int, HeuristicResult*, int*) = nullptr;
  int (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*,
                void*, void*, void*, const void*, void*, size_t, cudaStream_t) = nullptr;

  bool load() {
    for (const char* name : {"libcublasLt.so", "libcublasLt.so.13", "libcublasLt.so.12"}) {
      if (handle == nullptr) handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (handle == nullptr) return false;
    bool all = true;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
      all &= function != nullptr;
    };
    find(create, "cublasLtCreate");
    find(destroy, "cublasLtDestroy");
    find(desc_create, "cublasLtMatmulDescCreate");
    find(desc_set, "cublasLtMatmulDescSetAttribute");
    find(desc_destroy, "cublasLtMatmulDescDestroy");
    find(layout_create, "cublasLtMatrixLayoutCreate");
    find(layout_set, "cublasLtMatrixLayoutSetAttribute");
    find(layout_destroy, "cublasLtMatrixLayoutDestroy");
    find(preference_create, "cublasLtMatmulPreferenceCreate");
    find(preference_set, "cublasLtMatmulPreferenceSetAttribute");
    find(preference_destroy, "cublasLtMatmulPreferenceDestroy");
    find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(matmul, "cublasLtMatmul");
    return all && create(&cublas) == 0 && cudaMalloc(&workspace, kWorkspaceBytes) == cudaSuccess;
  }
  ~Library() {
    if (workspace != nullptr) static_cast<void>(cudaFree(workspace));
    if (cublas != nullptr) destroy(cublas);
    if (handle != nullptr) dlclose(handle);
  }
};

struct CublasLt::Prepared::State {
  Library* functions = nullptr;
  void *desc = nullptr, *weight = nullptr, *in = nullptr, *out = nullptr;
  HeuristicResult chosen{};

  ~State() {
    if (desc != nullptr) functions->desc_destroy(desc);
    for (void* layout : {weight, in, out}) {
      if (layout != nullptr) functions->layout_destroy(layout);
    }
  }
};

std::unique_ptr<CublasLt> CublasLt::open() {
  auto library = std::make_unique<Library>();
  if (!library->load()) return nullptr;
  return std::unique_ptr<CublasLt>(new CublasLt(std::move(library)));
}
CublasLt::CublasLt(std::unique_ptr<Library> library) : library_(std::move(library)) {}
CublasLt::~CublasLt() = default;
CublasLt::Prepared::Prepared(std::unique_ptr<State> state) : state_(std::move(state)) {}
CublasLt::Prepared::Prepared(Prepared&&) noexcept = default;
CublasLt::Prepared::~Prepared() = default;

// cuBLASLt's matrices are column-major: it computes out^T[n, m] = weight in^T.
Result<CublasLt::Prepared> CublasLt::prepare(const Product& p) {
  auto state = std::make_unique<Prepared::State>();
  Library& lib = *library_;
  state->functions = &lib;
  int error = lib.desc_create(&state->desc, kCompute32F, kF32);
  const int transposed = kTransposed;
  if (!p.weight_is_k_by_n) error |= lib.desc_set(state->desc, kDescTransA, &transposed, sizeof(transposed));
  if (p.gelu_bias != nullptr) {
    error |= lib.desc_set(state->desc, kDescEpilogue, &kGeluBias, sizeof(kGeluBias));
    error |= lib.desc_set(state->desc, kDescBias, &p.gelu_bias, sizeof(p.gelu_bias));
  }
  const auto layout = [&](void*& result, int64_t rows, int64_t cols, int64_t stride, int64_t step) {
    const auto batch = static_cast<int32_t>(p.batch);
    error |=
        lib.layout_create(&result, kBf16, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), stride);
    if (error == 0 && batch > 1) {
      error |= lib.layout_set(result, kLayoutBatchCount, &batch, sizeof(batch));
      error |= lib.layout_set(result, kLayoutBatchOffset, &step, sizeof(step));
    }
  };
  layout(state->weight, p.weight_is_k_by_n ? p.n : p.k, p.weight_is_k_by_n ? p.k : p.n, p.weight_stride,
         p.weight_step);
  layout(state->in, p.k, p.m, p.in_stride, p.in_step);
  layout(state->out, p.n, p.m, p.out_stride, p.out_step);
  void* preference = nullptr;
  error |= lib.preference_create(&preference);
  int found = 0;
  if (error == 0) {
    error |= lib.preference_set(preference, kPreferenceWorkspace, &kWorkspaceBytes, sizeof(kWorkspaceBytes));
    error |= lib.heuristic(lib.cublas, state->desc, state->weight, state->in, state->out, state->out,
                           preference, 1, &state->chosen, &found);
  }
  if (preference != nullptr) lib.preference_destroy(preference);
  PADLESS_CHECK(error == 0 && found == 1, Code::kDevice, "cublasLt", "cuBLASLt has no algorithm for [", p.m,
                ", ", p.n, ", ", p.k, "]: status ", error);
  return Prepared(std::move(state));
}

Status CublasLt::Prepared::run(const void* in, const void* weight, void* out, cudaStream_t stream) const {
  const float one = 1, zero = 0;
  const State& s = *state_;
  const Library& lib = *s.functions;
  const int error = lib.matmul(lib.cublas, s.desc, &one, weight, s.weight, in, s.in, &zero, out, s.out, out,
                               s.out, s.chosen.algorithm, lib.workspace, kWorkspaceBytes, stream);
  PADLESS_CHECK(error == 0, Code::kDevice, "cublasLt", "cublasLtMatmul returned ", error);
  return Status::ok();
}

}  // namespace padless::cuda::bench
