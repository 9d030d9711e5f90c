#!/usr/bin/env bash
# Cross compiles the core for arm64 and runs its native tests in qemu, once on a processor with dot products and
# once on one without. Debian: apt-get install g++-aarch64-linux-gnu qemu-user. In CI it installs them itself;
# elsewhere it says SKIP where they are missing. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."

have_tools() { command -v aarch64-linux-gnu-g++ >/dev/null && command -v qemu-aarch64 >/dev/null; }
if ! have_tools && [ -n "${CI:-}" ]; then
  apt-get update && apt-get install -y --no-install-recommends g++-aarch64-linux-gnu qemu-user
fi
if ! have_tools; then
  echo "SKIP arm64: aarch64-linux-gnu-g++ or qemu-aarch64 is missing"
  echo "0 passed, 0 failed"
  exit 0
fi

build=build/arm64
tests=(simd_test gemm_test rows_test attention_test embed_test pool_test engine_test)
if ! { cmake -S . -B "$build" -DPADLESS_NATIVE_TESTS=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ && cmake --build "$build" --parallel 2 --target "${tests[@]}"; }; then
  echo "the build failed"
  echo "0 passed, 1 failed"
  exit 1
fi

export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
passed=0
failed=0
run() {
  local processor=$1 start=$SECONDS
  shift
  if QEMU_CPU=$processor qemu-aarch64 "$build/test/native/$1" "${@:2}"; then
    passed=$((passed + 1))
    echo "ok    $1 on $processor ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "FAIL  $1 on $processor"
  fi
}

seed=$RANDOM
run max simd_test "$seed"
run max gemm_test "$seed"
run max rows_test "$seed"
run max attention_test "$seed" 300
run max embed_test "$seed"
run max pool_test "$seed"
run max engine_test "$seed"
run cortex-a57 gemm_test "$seed" # neither SDOT nor BFDOT
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
