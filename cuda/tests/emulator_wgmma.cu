// wgmma in every layout against exact sums.
#include "cuda/tests/wgmma_cases.cuh"

int main() {
  using namespace padless::cuda::test;
  for_each_wgmma_case([](const std::string& name, const auto& result, int n, float initial) {
    int wrong = 0;
    for (int i = 0; i < kTileM; i++) {
      for (int j = 0; j < n; j++) {
        double expected = initial;
        for (int k = 0; k < kTileK; k++) {
          expected += double{static_cast<float>(result.a[i * kTileK + k])} *
                      double{static_cast<float>(result.b[j * kTileK + k])};
        }
        wrong += !(double{result.d[i * n + j]} == expected);
      }
    }
    check(wrong == 0, name + ": " + std::to_string(wrong) + " wrong elements");
  });
  return report("emulator_wgmma");
}
