#!/usr/bin/env bash
# The steps of scripts/verify-gpu.sh, one a call, so that each can be stopped:  scripts/verify-gpu-steps.sh STEP
# From the environment: quick, device, plan, build (a folder), work (where results go), seconds (how long to measure).
# An exit code of 77 means skipped, with the reason on the last line.
set -uo pipefail

usable_addon() {
  node -e 'try {
      const gpu = require("./dist/index.js").device(process.argv[1]).info;
      console.log(`${gpu.name}: ${gpu.description}, ${gpu.isa}`);
    } catch (error) {
      console.log(error.message);
      process.exitCode = 1;
    }' "$device"
}
step_addon() {
  [ -f dist/index.js ] && usable_addon && return
  command -v nvcc >/dev/null || { [ -f dist/index.js ] || echo "nothing is built, and there is no nvcc" && return 1; }
  PADLESS_CUDA=auto node scripts/build.mjs && usable_addon
}

# Exit code 4 of a build: there is neither nvcc nor an earlier build.
skip_unbuilt() {
  "$@"
  local status=$?
  [ $status -eq 4 ] && return 77
  return $status
}
step_build() { skip_unbuilt node scripts/cuda-build.mjs cuda/tests/gpu "$build" kernel_norm; }
built() { [ -x "$build/$1" ] || { echo "$1 was not built" && return 77; }; }

# Hopper's instructions and kernels exist on compute capability 9.0 alone.
is_hopper() { [ "$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0)" = 9.0 ]; }
step_vectors() {
  local name recorded names=(conformance_sm80) status=0
  is_hopper && names+=(conformance_sm90)
  for name in "${names[@]}"; do
    built "$name" || return
    recorded=cuda/ptx/vectors/$name.json
    "$build/$name" --json >"$build/$name.json" || status=1
    if [ -f "$recorded" ]; then "$build/$name" --compare "$recorded" || status=1; else
      echo "nothing is recorded yet: commit $build/$name.json as $recorded"
    fi
  done
  return $status
}
step_kernels() {
  local program name failures=()
  built kernel_norm || return
  for program in "$build"/kernel_*; do
    name=$(basename "$program")
    [ -x "$program" ] && [ -f "$program" ] || continue
    if [[ $name == *_sm90 ]] && ! is_hopper; then echo "$name: needs compute capability 9.0" && continue; fi
    timeout 120 "$program" || failures+=("$name")
  done
  [ ${#failures[@]} -eq 0 ] || { echo "failed: ${failures[*]}" && return 1; }
}
end_to_end() {  # of an experiment
  node bench/gpu/end_to_end.mjs --device "$device" --only "$1" --seconds "$seconds" --out "$work/padless.jsonl" \
    ${plan:+--plan "$plan"}
}
step_encoders() { end_to_end texts; }
step_grid() {
  $quick && { echo "--quick" && return 77; }
  end_to_end e1
}
step_bench() {
  $quick && { echo "--quick" && return 77; }
  skip_unbuilt node bench/gpu/kernels.mjs --seconds "$seconds" --out "$work/kernels.jsonl" \
    ${KERNEL_BENCH:+--program "$KERNEL_BENCH"} ${plan:+--plan "$plan"}
}
step_torch() {
  $quick && { echo "--quick" && return 77; }
  local python=${PYTHON:-python3} target=cuda
  [[ $device == cuda:* ]] || target=cpu
  "$python" -c "import torch; torch.zeros(1, device='$target')" 2>/dev/null ||
    { echo "$python has no PyTorch that sees the GPU" && return 77; }
  { if [ -n "$plan" ]; then cat "$plan"; else node bench/gpu/plan.mjs; fi; } >"$work/plan.json" &&
    "$python" bench/gpu/rivals/torch_baselines.py --plan "$work/plan.json" --device $target --seconds "$seconds" \
      --out "$work/rivals.jsonl"
}
step_suite() {
  npx jest --selectProjects padless -- test/device >"$work/jest" 2>&1
  local status=$?
  cat "$work/jest"
  grep '^Tests:' "$work/jest"
  return $status
}
step_sanitizer() {
  command -v compute-sanitizer >/dev/null || { echo "there is no compute-sanitizer" && return 77; }
  built kernel_rows || return
  local status=0 tool program
  for tool in memcheck racecheck synccheck initcheck; do
    for program in kernel_rows kernel_norm kernel_packing "kernel_attention_bits quick"; do
      # shellcheck disable=SC2086
      timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 1 "$build"/$program >"$work/sanitizer" 2>&1 ||
        { tail -n 20 "$work/sanitizer" && status=1; }
      echo "$tool $program: $(tail -n 1 "$work/sanitizer")"
    done
  done
  return $status
}

"step_$1"
