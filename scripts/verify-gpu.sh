#!/usr/bin/env bash
# What only a GPU can show, on any machine with an NVIDIA one and no network: from a checkout with node_modules,
# and nvcc or what `scripts/verify-gpu.sh --build` has left of it (build, dist).
#   scripts/verify-gpu.sh [--quick] [--out FILE]      --quick: no microbenchmarks and no rivals
#   scripts/verify-gpu.sh --build                     only builds, for every architecture; needs nvcc and no GPU
# Steps: the addon, instruction vectors, kernel tests, the device suite, compute-sanitizer on a subset,
# microbenchmarks, PyTorch on the same loads where it is installed (PYTHON names the interpreter), and BERT-base and
# MiniLM end to end. What a machine lacks is skipped by name. Prints a table last and writes one JSON file, by
# default bench/results/gpu-<commit>.json. Exit code 0: all passed; 1: a step failed; 3: there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
quick=false
out=bench/results/gpu-$(git rev-parse --short=7 HEAD 2>/dev/null || echo unknown).json
build=build/gpu
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=true ;;
    --out) out=${2:?--out needs a file} && shift ;;
    --build)
      export PADLESS_CUDA=all
      node scripts/build.mjs && node scripts/cuda-build.mjs cuda/tests/gpu $build kernel_norm &&
        node scripts/cuda-build.mjs cuda/bench build/bench-cuda kernel_bench
      exit
      ;;
    *) echo "verify-gpu: unknown option $1" >&2 && exit 2 ;;
  esac
  shift
done
if ! nvidia-smi -L >/dev/null 2>&1; then
  echo "verify-gpu: there is no NVIDIA GPU here, or no driver for it"
  exit 3
fi
nvidia-smi -L

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
  have nvcc || { [ -f dist/index.js ] || echo "nothing is built, and there is no nvcc" && return 1; }
  PADLESS_CUDA=auto node scripts/build.mjs && usable_addon
}

# Exit code 4 of a build: there is neither nvcc nor an earlier build.
skip_unbuilt() {
  "$@"
  local status=$?
  [ $status -eq 4 ] && return 77
  return $status
}
programs() { skip_unbuilt node scripts/cuda-build.mjs cuda/tests/gpu $build kernel_norm; }
built() { [ -x "$build/$1" ] || { echo "$1 was not built" && return 77; }; }

# Hopper's instructions and kernels exist on compute capability 9.0 alone.
is_hopper() { [ "$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0)" = 9.0 ]; }
vectors() {
  local name recorded names=(conformance_sm80)
  is_hopper && names+=(conformance_sm90)
  for name in "${names[@]}"; do
    built "$name" || return
    recorded=cuda/ptx/vectors/$name.json
    "$build/$name" --json >"$build/$name.json" || return 1
    if [ -f "$recorded" ]; then "$build/$name" --compare "$recorded" || return 1; else
      echo "nothing is recorded yet: commit $build/$name.json as $recorded"
    fi
  done
}
kernel_tests() {
  local program name failures=()
  built kernel_norm || return
  for program in "$build"/kernel_*; do
    name=$(basename "$program")
    [ -x "$program" ] && [ -f "$program" ] || continue
    if [[ $name == *_sm90 ]] && ! is_hopper; then echo "$name: needs compute capability 9.0" && continue; fi
    "$program" || failures+=("$name")
  done
  [ ${#failures[@]} -eq 0 ] || { echo "failed: ${failures[*]}" && return 1; }
}
device_suite() {
  npx jest --selectProjects padless -- test/device >"$work/jest" 2>&1
  local status=$?
  cat "$work/jest"
  grep '^Tests:' "$work/jest"
  return $status
}
sanitizer() {
  have compute-sanitizer || { echo "there is no compute-sanitizer" && return 77; }
  built kernel_rows || return
  local status=0 tool program
  for tool in memcheck racecheck synccheck initcheck; do
    for program in kernel_rows kernel_norm kernel_packing "kernel_attention_bits quick"; do
      # shellcheck disable=SC2086
      timeout 600 compute-sanitizer --tool "$tool" --error-exitcode 1 "$build"/$program >"$work/sanitizer" 2>&1 ||
        { tail -n 20 "$work/sanitizer" && status=1; }
      echo "$tool $program: $(tail -n 1 "$work/sanitizer")"
    done
  done
  return $status
}
microbenchmarks() {
  $quick && { echo "--quick" && return 77; }
  skip_unbuilt node bench/gpu/kernels.mjs --out "$work/kernels.jsonl" || return
  echo "$(wc -l <"$work/kernels.jsonl") measurements"
}
rivals() {
  $quick && { echo "--quick" && return 77; }
  local python=${PYTHON:-python3}
  "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || { echo "$python has no PyTorch that sees the GPU" && return 77; }
  node bench/gpu/plan.mjs >"$work/plan.json" &&
    "$python" bench/gpu/rivals/torch_baselines.py --plan "$work/plan.json" --out "$work/rivals.jsonl"
}
end_to_end() {
  if $quick; then node bench/gpu/end_to_end.mjs --only texts --out "$work/padless.jsonl"; else
    node bench/gpu/end_to_end.mjs --out "$work/padless.jsonl"
  fi
}

step 'addon' addon
step 'build of the test programs' programs
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
