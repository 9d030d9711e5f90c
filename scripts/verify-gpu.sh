#!/usr/bin/env bash
# What only a GPU can show, on any machine with an NVIDIA one and no network: from a checkout with node_modules,
# and nvcc or what `scripts/verify-gpu.sh --build` has left of it (build, dist).
#   scripts/verify-gpu.sh [--quick] [--minutes N] [--only STEP,...] [--out FILE] [--device cuda:0] [--plan FILE]
#   scripts/verify-gpu.sh --build                     only builds, for every architecture; needs nvcc and no GPU
# --quick: no microbenchmarks and no rivals. --minutes: no step goes on longer than that after the start. --plan: loads
# instead of bench/gpu/plan.mjs's.
# Steps, in this order: addon; build (of the test programs), vectors, kernels (their tests), encoders (BERT-base and
# MiniLM end to end), bench (microbenchmarks), torch (PyTorch on the same loads where it is installed; PYTHON names the
# interpreter), suite (the device tests), sanitizer (compute-sanitizer on a subset), grid (ByteTransformer's end to
# end). A step has a time limit of its own (PADLESS_STEP_SECONDS: another one, for all); one that fails or is stopped
# takes nothing from the others, and what it had measured until then is kept. What a machine lacks is skipped by name.
# Prints a table and the bars of bench/gpu/bars.mjs last and writes one JSON file, by default
# bench/results/gpu-<commit>.json. Exit code 0: all passed; 1: a step failed; 2: wrong arguments; 3: there is no GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
all_steps=(addon build vectors kernels encoders bench torch suite sanitizer grid)
quick=false only= minutes= plan= device=cuda:0 build=build/gpu
out=bench/results/gpu-$(git rev-parse --short=7 HEAD 2>/dev/null || echo unknown).json
usage() { echo "verify-gpu: $*" >&2 && exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=true ;;
    --out | --only | --minutes | --plan | --device)
      [ -n "${2:-}" ] || usage "$1 needs a value"
      printf -v "${1#--}" %s "$2" && shift
      ;;
    --build)
      export PADLESS_CUDA=all
      node scripts/build.mjs && node scripts/cuda-build.mjs cuda/tests/gpu $build kernel_norm &&
        node scripts/cuda-build.mjs cuda/bench build/bench-cuda kernel_bench
      exit
      ;;
    *) usage "unknown option $1" ;;
  esac
  shift
done
[[ -z $minutes || $minutes =~ ^[1-9][0-9]*$ ]] || usage "--minutes is '$minutes', not a whole number"
for name in ${only//,/ }; do
  [[ " ${all_steps[*]} " == *" $name "* ]] || usage "--only has no '$name'; there are: ${all_steps[*]}"
done
if ! nvidia-smi -L >/dev/null 2>&1; then
  echo "verify-gpu: there is no NVIDIA GPU here, or no driver for it"
  exit 3
fi
nvidia-smi -L

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/steps"
failed=0
export quick device plan build work

# step SHORT TITLE LIMIT: runs a step for LIMIT seconds at most, or as long as there is time left. It may measure for a
# part of them, so that what it has begun can end.
step() {
  local short=$1 name=$2 limit=$3 log=$work/step.log start=$SECONDS status outcome detail
  [[ -z $only || ,$only, == *,$short,* ]] || return
  echo "== $name"
  limit=${PADLESS_STEP_SECONDS:-$limit}
  [ -z "$minutes" ] || limit=$((limit < 60 * minutes - SECONDS ? limit : 60 * minutes - SECONDS))
  if [ "$limit" -lt 5 ]; then
    status=77 && echo "no time is left" | tee "$log"
  else
    seconds=$((limit * 4 / 5)) timeout -k 10 "$limit" bash scripts/verify-gpu-steps.sh "$short" 2>&1 </dev/null | tee "$log"
    status=${PIPESTATUS[0]}
    case $status in 124 | 137) echo "stopped after $limit s" | tee -a "$log" ;; esac
  fi
  case $status in
    0) outcome=passed ;;
    77) outcome=skipped ;;
    *) outcome=FAILED && failed=1 ;;
  esac
  detail=$(grep -v '^\s*$' "$log" | tail -n 1 | tr '\t' ' ' | cut -c1-100)
  printf '%s\t%s\t%s\t%s\n' "$name" "$outcome" "$((SECONDS - start))" "$detail" >>"$work/steps"
}

step addon 'addon' 300
step build 'build of the test programs' 900
step vectors 'instruction vectors' 60
step kernels 'kernel tests' 240
step encoders 'end to end' 180
step bench 'microbenchmarks' 400
step torch 'PyTorch' 300
step suite 'device suite' 300
step sanitizer 'compute-sanitizer' 600
step grid "ByteTransformer's grid" 240

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv,noheader >"$work/gpu"
mkdir -p "$(dirname "$out")"
node scripts/verify-gpu-report.mjs "$work" "$out"
exit $failed
