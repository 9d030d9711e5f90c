#!/bin/bash
# Compiles every kernel with nvcc and fails on a spill, local memory, serialised wgmma or any warning; then
# scripts/sass-gate.mjs. Kernels of sm90 folders and the benchmark are compiled for 90a alone. The test programs that
# run on a GPU must compile without a warning: for 90a, and those with kernels of their own for the others, too; those
# with every instruction also as PTX of CUDA 12.4.
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
  local file=$1 arch=$2 name how
  name=${file%.cu}
  name=$out/${name//\//_}.sm_$arch
  # Of a test program only that it compiles is asked, so no time goes into its code.
  if [[ $file == cuda/tests/* ]]; then how=(-O0 -DPADLESS_CUDA_RUNTIME=1 -c -o "$name.o"); else
    how=(-O3 -Xptxas -v,-warn-spills,-warn-lmem-usage -cubin -o "$name.cubin")
  fi
  nvcc -std=c++20 -gencode "arch=compute_$arch,code=sm_$arch" -I. "${how[@]}" "$file" >"$name.log" 2>&1 ||
    echo "compile failed" >>"$name.log"
  [[ $file != */conformance_* ]] || as_of_12_4 "$file" "$arch" "$name" >>"$name.log" 2>&1 ||
    echo "compile failed as PTX 8.4, the latest that CUDA 12.4 knows" >>"$name.log"
}
as_of_12_4() {  # a program with every instruction of cuda/ptx
  nvcc -std=c++20 -I. -DPADLESS_CUDA_RUNTIME=1 -gencode "arch=compute_$2,code=compute_$2" -ptx -o "$3.ptx" "$1" &&
    sed -i 's/^\.version .*/.version 8.4/' "$3.ptx" &&
    nvcc -gencode "arch=compute_$2,code=sm_$2" -cubin -o "$3.from_ptx" "$3.ptx"
}
export -f compile as_of_12_4

# What cuda/tests/gpu/CMakeLists.txt builds.
test_programs() { find cuda/tests -name 'kernel_*.cu' -o -name 'conformance_*.cu' | grep -v /kernel_offsets.cu; }
sources_of() {  # an architecture
  local kernels
  kernels=$(find cuda -name '*.cu' -not -path 'cuda/tests/*' -not -path 'cuda/emulator/*')
  if [ "$1" = 90a ]; then printf '%s\n' "$kernels" && test_programs; else
    grep -vE '/sm90/|^cuda/bench/' <<<"$kernels"
    test_programs | grep -v conformance_sm90 | xargs grep -l __global__
  fi
}
for arch in "${archs[@]}"; do sources_of "$arch" | sort | sed "s/$/ $arch/"; done |
  xargs -P 2 -L 1 bash -c 'compile $0 $1'

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
sass=$(node scripts/sass-gate.mjs "$out" 2>&1)
printf '%s\n' "$sass" | grep -v ' passed, ' | c++filt
if [[ $sass =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
else
  failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
