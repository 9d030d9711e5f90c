#!/bin/bash
# Builds and runs the device tests under the emulator: scripts/emulator-tests.sh [none|address|thread] [ctest options]
# The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizer=${1:-none}
shift || true
source=cuda/tests build=build/emulator-$sanitizer tests=$build
# The folder of the addon, where there is one, has the kernels compiled, or compiles them for the addon's tests as well.
if [ "$sanitizer" = none ] && grep -qs CMAKE_JS_VERSION build/CMakeCache.txt; then
  source=. build=build tests=build/cuda/tests
fi
cmake -S "$source" -B "$build" -DPADLESS_SANITIZER="$sanitizer" -DPADLESS_EMULATOR_TESTS=ON >/dev/null
if ! cmake --build "$build" --parallel 2 --target emulator_tests; then
  echo "the build failed"
  echo "0 passed, 1 failed"
  exit 1
fi
log=$tests/ctest.log
ctest --test-dir "$tests" -j2 --output-on-failure "$@" 2>&1 | tee "$log" || true
if grep -q '\*\*\*' "$log"; then
  echo "what the failed tests printed:"
  awk '/\*\*\*/ { on = 1; lines = 0 } / Start +[0-9]+:|Test +#[0-9]+:.* Passed / { on = 0 } on && lines++ < 40' "$log"
fi
awk '/ Passed / { passed++ } /\*\*\*/ { failed++ } END { printf "%d passed, %d failed\n", passed, failed; exit failed || !passed }' "$log"
