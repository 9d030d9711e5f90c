// wgmma in every layout against exact sums.
#include "cuda/tests/wgmma_cases.cuh"

int main() {
  using namespace padless::cuda::test;
  for_each_wgmma_case([](const std::string& name, const auto& result, int n, float initial) {
    const int depth = static_cast<int>(result.a.size()) / kTileM;
    int wrong = 0;
    for (int i = 0; i < kTileM; i++) {
      for (int j = 0; j < n; j++) {
        double expected = initial;
        for (int k = 0; k < depth; k++) {
          expected += double{static_cast<float>(result.a[i * depth + k])} *
                      double{static_cast<float>(result.b[j * depth + k])};
        }
        wrong += !(double{result.d[i * n + j]} == expected);
      }
    }
    check(wrong == 0, name + ": " + std::to_string(wrong) + " wrong elements");
  });
  return report("emulator_wgmma");
}
