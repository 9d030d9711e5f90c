#!/bin/bash
# Compiles every kernel with nvcc and fails on a spill, local memory, serialised wgmma or any warning; then
# scripts/sass-gate.sh. Kernels of sm90 folders and the benchmark are compiled for 90a alone.
#   scripts/nvcc-gate.sh [arch ...]      default: 80 86 89 90a
# Prints registers, static shared memory and spills of each kernel; the last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
if ! command -v nvcc >/dev/null; then
  echo "skipped nvcc-gate: there is no nvcc on the PATH"
  exit 0
fi
archs=("$@")
[ ${#archs[@]} -gt 0 ] || archs=(80 86 89 90a)
out=build/nvcc-gate
rm -rf "$out" && mkdir -p "$out"
export out

compile() {  # one file for one architecture
  local file=$1 arch=$2 log
  log=${file%.cu}
  log=$out/${log//\//_}.sm_$arch.log
  if ! nvcc -std=c++20 -O3 -arch="sm_$arch" -I. -Xptxas -v,-warn-spills,-warn-lmem-usage -cubin -o "${log%.log}.cubin" \
      "$file" >"$log" 2>&1; then
    echo "compile failed" >>"$log"
  fi
}
export -f compile

for arch in "${archs[@]}"; do
  find cuda -name '*.cu' -not -path 'cuda/tests/*' -not -path 'cuda/emulator/*' | sort |
    if [ "$arch" = 90a ]; then cat; else grep -vE '/sm90/|^cuda/bench/'; fi | sed "s/$/ $arch/"
done | xargs -P 2 -L 1 bash -c 'compile $0 $1'

# C75xx: ptxas serialises wgmma, or ignores setmaxnreg, and calls that information.
bad='compile failed|error|warning|\(C75[0-9][0-9]\)|[1-9][0-9]* bytes (stack frame|spill)'
passed=0 failed=0
for log in "$out"/*.log; do
  name=$(basename "$log" .log)
  if grep -qE "$bad" "$log"; then
    failed=$((failed + 1))
    echo "FAILED: $name"
    grep -E "$bad" "$log" | c++filt | head -10
  else
    passed=$((passed + 1))
  fi
  c++filt <"$log" | sed -n "s/.*Compiling entry function '\(.*\)' for '\(sm_[0-9a]*\)'.*/\2 \1/p; s/.*Used \([0-9]* registers.*\)/    \1/p" |
    sed 's/padless::cuda:://g; s/(anonymous namespace):://g; s/void //; s/(.*Params.*)//'
done
sass=$(scripts/sass-gate.sh "$out")
printf '%s\n' "$sass" | grep -v ' passed, '
if [[ $sass =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
