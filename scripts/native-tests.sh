#!/usr/bin/env bash
# Builds and runs the C++ unit tests.   scripts/native-tests.sh [none|address|thread] [test ...]
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizer=${1:-none}
shift || true
build="build/native-$sanitizer"
# The folder of the addon, where there is one, has most of it compiled.
[ "$sanitizer" != none ] || [ ! -f build/CMakeCache.txt ] || build=build
cmake -S . -B "$build" -DPADLESS_NATIVE_TESTS=ON -DPADLESS_SANITIZER="$sanitizer" >/dev/null
targets=("$@")
cmake --build "$build" --parallel 2 --target "${targets[@]:-native_tests}"
pattern=$(IFS='|'; echo "${targets[*]:-.*}")
log=$(mktemp)
status=0
ctest --test-dir "$build/test/native" --output-on-failure --parallel 2 -R "^($pattern)$" | tee "$log" || status=$?
# What a test that passed has left out, which ctest keeps to itself.
grep -h '^SKIP' "$build/test/native/Testing/Temporary/LastTest.log" || true
total=$(grep -oE 'out of [0-9]+' "$log" | grep -oE '[0-9]+')
bad=$(grep -oE '[0-9]+ tests failed' "$log" | grep -oE '^[0-9]+')
echo "$((total - bad)) passed, $bad failed"
exit "$status"
