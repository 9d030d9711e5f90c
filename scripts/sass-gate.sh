#!/bin/bash
# Fails unless every kernel in DIR/*.cubin that moves rows does so by 16-byte accesses, and none uses local memory.
#   scripts/sass-gate.sh DIR      CUOBJDUMP names the disassembler; otherwise the PATH and CUDA_HOME are searched
# The last line is "N passed, N failed", or says why nothing was checked.
set -uo pipefail
cuobjdump=${CUOBJDUMP:-$(command -v cuobjdump || echo "${CUDA_HOME:-/usr/local/cuda}/bin/cuobjdump")}
if [ ! -x "$cuobjdump" ]; then
  echo "skipped sass-gate: no cuobjdump on the PATH, in CUDA_HOME or named by CUOBJDUMP"
  exit 0
fi

# Kernel: instructions each of its instantiations must contain. Kernels that count or scan have no rows to move.
rules='
residual_norm_kernel  LDG\.E[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
embed_norm_kernel     LDG\.E[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
l2_normalize_kernel   LDG\.E[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
head_norm_kernel      LDG\.E[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
rope_kernel           LDG\.E[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
gather_rows_kernel    LDG\.E[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
pool_rows_kernel      LDG\.E[.A-Z0-9]*\.128
tensor_gemm_kernel    LDGSTS[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
attention_kernel      LDGSTS[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
disentangled_kernel   LDGSTS[.A-Z0-9]*\.128 STG\.E[.A-Z0-9]*\.128
'
passed=0 failed=0
for cubin in "$1"/*.cubin; do
  counts=$("$cuobjdump" -sass "$cubin" | c++filt | awk -v rules="$rules" -v file="$(basename "$cubin" .cubin)" '
    BEGIN { lines = split(rules, line, "\n"); for (i = 1; i <= lines; i++) if (split(line[i], word, " ") > 1) {
        kernel[++kernels] = word[1]; needs[kernels] = substr(line[i], length(word[1]) + 1) } }
    function finish(   i, j, n, need) {
      if (name == "") return
      for (i = 1; i <= kernels; i++) if (name ~ "[: ]" kernel[i] "<") {
        n = split(needs[i], need, " ")
        for (j = 1; j <= n; j++) if (code !~ need[j]) missing = missing " " need[j]
      }
      if (code ~ /(LDL|STL)/) missing = missing " (it uses local memory)"
      if (missing == "") passed++; else { failed++; print "FAILED: " file ": " name " lacks" missing }
    }
    /Function :/ { finish(); name = $0; sub(/.*Function : /, "", name); sub(/>\(.*/, ">", name); code = missing = "" }
    match($0, /(LDG|STG|LDGSTS|LDL|STL)[.A-Z0-9]*/) { token = substr($0, RSTART, RLENGTH)
      if (!((name, token) in seen)) { seen[name, token] = 1; code = code token "\n" } }
    END { finish(); print passed + 0, failed + 0 }')
  read -r good bad <<<"$(tail -n 1 <<<"$counts")"
  head -n -1 <<<"$counts"
  passed=$((passed + good)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
