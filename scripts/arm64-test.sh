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
# run PROCESSOR TEST [argument ...]
run() {
  local processor=$1 test=$2 start=$SECONDS
  shift 2
  if QEMU_CPU=$processor qemu-aarch64 "$build/test/native/$test" "$@"; then
    echo "ok    $test on $processor ($((SECONDS - start)) s)"
  else
    echo "FAIL  $test on $processor: $*"
  fi
}
export -f run
export build

# Two at a time, the longest first; products on up to two threads. A Cortex-A57 has neither SDOT nor BFDOT.
seed=$RANDOM
log=$(mktemp)
runs="max rows_test $seed
max gemm_test $seed 2
cortex-a57 gemm_test $seed 2
max attention_test $seed 300
max embed_test $seed
max pool_test $seed
max simd_test $seed
max engine_test $seed"
xargs -P 2 -I {} bash -c 'run {} 2>&1' <<<"$runs" | tee "$log"
passed=$(grep -c '^ok ' "$log")
failed=$(($(wc -l <<<"$runs") - passed))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
