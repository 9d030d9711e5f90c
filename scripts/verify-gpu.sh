#!/usr/bin/env bash
# What only a GPU can show, on any machine with an NVIDIA one and no network: from a checkout with node_modules,
# and nvcc or earlier outputs of `npm run build` and of this script (build/gpu).
#   scripts/verify-gpu.sh [--quick] [--out FILE]      --quick: no microbenchmarks and no rivals
# Steps: the addon, instruction vectors, kernel tests, the device suite, compute-sanitizer on a subset,
# microbenchmarks, BERT-base and MiniLM end to end, and PyTorch on the same texts where it is installed (PYTHON
# names the interpreter). What a machine lacks is skipped by name. Prints a table last and writes one JSON file,
# by default bench/results/gpu-<commit>.json. Exit code 0: all passed; 1: a step failed; 3: there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
quick=false
out=bench/results/gpu-$(git rev-parse --short=7 HEAD 2>/dev/null || echo unknown).json
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=true ;;
    --out) out=${2:?--out needs a file} && shift ;;
    *) echo "verify-gpu: unknown option $1" >&2 && exit 2 ;;
  esac
  shift
done
if ! nvidia-smi -L >/dev/null 2>&1; then
  echo "verify-gpu: there is no NVIDIA GPU here, or no driver for it"
  exit 3
fi
nvidia-smi -L

build=build/gpu
mkdir -p "$build"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
steps=$work/steps
: >"$steps"
failed=0
have() { command -v "$1" >/dev/null 2>&1; }

# step NAME COMMAND...: an exit code of 77 means skipped, with the reason on the last line.
step() {
  local name=$1 log=$work/step.log status start=$SECONDS outcome detail
  shift
  echo "== $name"
  "$@" 2>&1 </dev/null | tee "$log"
  status=${PIPESTATUS[0]}
  case $status in
    0) outcome=passed ;;
    77) outcome=skipped ;;
    *) outcome=FAILED && failed=1 ;;
  esac
  detail=$(grep -v '^\s*$' "$log" | tail -n 1 | tr '\t' ' ' | cut -c1-100)
  printf '%s\t%s\t%s\t%s\n' "$name" "$outcome" "$((SECONDS - start))" "$detail" >>"$steps"
}

usable_addon() {
  node -e 'const { devices } = require("./dist/index.js");
    const gpu = devices().find((each) => each.kind === "cuda");
    console.log(gpu.available ? `${gpu.name}: ${gpu.description}, ${gpu.isa}` : `${gpu.name}: ${gpu.reason}`);
    process.exit(gpu.available ? 0 : 1)'
}
addon() {
  [ -f dist/index.js ] && usable_addon && return
  PADLESS_CUDA=auto node scripts/build.mjs && usable_addon
}

# A program of cuda/tests for the GPU at hand; an earlier build serves where there is no nvcc.
programs="conformance_sm80 kernel_norm kernel_rows kernel_heads kernel_packing kernel_gemm kernel_attention kernel_attention_bias
  kernel_simt_attention"
compile() {
  local arch=native
  [[ $1 == */sm90/* || $1 == *_sm90.cu ]] && arch=sm_90a
  nvcc -std=c++20 -O2 -arch=$arch -DPADLESS_CUDA_RUNTIME -I. -x cu -c -o "$build/$(echo "$1" | tr / _).o" "$1"
}
programs_build() {
  if ! have nvcc; then
    [ -x "$build/kernel_norm" ] || { echo "there is no nvcc, and no earlier build in $build" && return 77; }
    echo "there is no nvcc: the earlier build in $build is used" && return 0
  fi
  export build
  export -f compile
  local kernels
  kernels=$(node -p 'const { sources, sm90 } = require("./sources.json").cuda; [...sources, ...sm90].join("\n")')
  printf '%s\n' $kernels lib/core/status.cc lib/core/dtype.cc | xargs -P "$(nproc)" -I{} bash -c 'compile {}' || return 1
  for program in $programs; do
    compile "cuda/tests/$program.cu" || return 1
    nvcc -arch=native -o "$build/$program" "$build/cuda_tests_$program.cu.o" \
      $(for file in $kernels lib/core/status.cc lib/core/dtype.cc; do echo "$build/$(echo "$file" | tr / _).o"; done) || return 1
  done
  echo "$(echo $programs | wc -w) programs"
}
built() { [ -x "$build/$1" ] || { echo "$1 was not built" && return 77; }; }

vectors() {
  built conformance_sm80 || return
  local recorded=cuda/ptx/vectors/conformance_sm80.json
  "$build/conformance_sm80" --json >"$build/conformance_sm80.json" || return 1
  if [ -f "$recorded" ]; then "$build/conformance_sm80" --compare "$recorded"; else
    echo "nothing is recorded yet: commit $build/conformance_sm80.json as $recorded"
  fi
}
kernel_tests() {
  local status=0
  for program in $programs; do
    [[ $program == kernel_* ]] || continue
    built "$program" || return
    "$build/$program" || status=1
  done
  return $status
}
device_suite() { npx jest --selectProjects padless -- test/device 2>&1; }
sanitizer() {
  have compute-sanitizer || { echo "there is no compute-sanitizer" && return 77; }
  built kernel_rows || return
  local status=0
  for tool in memcheck racecheck initcheck; do
    for program in kernel_rows kernel_norm; do
      compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/$program" >"$work/sanitizer" 2>&1 || { tail -n 20 "$work/sanitizer" && status=1; }
      echo "$tool $program: $(tail -n 1 "$work/sanitizer")"
    done
  done
  return $status
}
microbenchmarks() {
  $quick && { echo "--quick" && return 77; }
  node scripts/bench-cuda.mjs --json "$work/kernels.jsonl"
  local status=$?
  [ $status -eq 4 ] && { echo "there is no nvcc, and no earlier build" && return 77; }
  [ $status -eq 0 ] && echo "$(wc -l <"$work/kernels.jsonl") measurements"
  return $status
}
rivals() {
  $quick && { echo "--quick" && return 77; }
  local python=${PYTHON:-python3}
  "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || { echo "$python has no PyTorch that sees the GPU" && return 77; }
  "$python" bench/gpu/rivals/torch_baselines.py --section roof,attention,bert --out "$work/rivals.jsonl"
}
end_to_end() {
  local loads=()
  [ -s "$work/rivals.jsonl" ] && loads=(--loads "$work/rivals.jsonl")
  node bench/gpu/end_to_end.mjs --out "$work/padless.jsonl" "${loads[@]}"
}

step 'addon' addon
step 'build of the test programs' programs_build
step 'instruction vectors' vectors
step 'kernel tests' kernel_tests
step 'device suite' device_suite
step 'compute-sanitizer' sanitizer
step 'microbenchmarks' microbenchmarks
step 'PyTorch' rivals
step 'end to end' end_to_end

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv,noheader >"$work/gpu"
mkdir -p "$(dirname "$out")"
node scripts/verify-gpu-report.mjs "$work" "$out"
exit $failed
