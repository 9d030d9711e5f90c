#!/bin/bash
# Builds and runs the device tests under the emulator: scripts/emulator-tests.sh [none|address|thread] [ctest options]
# The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizer=${1:-none}
shift || true
build=build/emulator-$sanitizer
cmake -S cuda/tests -B "$build" -DPADLESS_SANITIZER="$sanitizer" >/dev/null
if ! cmake --build "$build" -j2 -- --no-print-directory; then
  echo "the build failed"
  echo "0 passed, 1 failed"
  exit 1
fi
log=$build/ctest.log
ctest --test-dir "$build" -j2 --output-on-failure "$@" 2>&1 | tee "$log" || true
if grep -q '\*\*\*' "$log"; then
  echo "what the failed tests printed:"
  awk '/\*\*\*/ { on = 1; lines = 0 } / Start +[0-9]+:|Test +#[0-9]+:.* Passed / { on = 0 } on && lines++ < 40' "$log"
fi
awk '/ Passed / { passed++ } /\*\*\*/ { failed++ } END { printf "%d passed, %d failed\n", passed, failed; exit failed || !passed }' "$log"
