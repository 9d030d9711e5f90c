#!/bin/bash
# Fails unless every kernel in DIR/*.cubin that moves rows does so by 16-byte accesses, none uses local memory, and
# those of sm90 folders multiply with wgmma within the registers that they have.
#   scripts/sass-gate.sh DIR      CUOBJDUMP names the disassembler; otherwise the PATH and CUDA_HOME are searched
# The last line is "N passed, N failed", or says why nothing was checked.
set -uo pipefail
cuobjdump=${CUOBJDUMP:-$(command -v cuobjdump || echo "${CUDA_HOME:-/usr/local/cuda}/bin/cuobjdump")}
if [ ! -x "$cuobjdump" ]; then
  echo "skipped sass-gate: no cuobjdump on the PATH, in CUDA_HOME or named by CUOBJDUMP"
  exit 0
fi

# Kernel: instructions each of its instantiations must contain. Kernels that count or scan have no rows to move. In
# sm90 folders every kernel but quantize_rows_kernel multiplies as well: by QGMMA if it has e4m3 in its name, by HGMMA
# otherwise.
load='LDG\.E[.A-Z0-9]*\.128' store='STG\.E[.A-Z0-9]*\.128' copy='LDGSTS[.A-Z0-9]*\.128' codes='STG\.E[.A-Z0-9]*\.64'
rules="
residual_norm_kernel  $load $store
embed_norm_kernel     $load $store
l2_normalize_kernel   $load $store
head_norm_kernel      $load $store
rope_kernel           $load $store
gather_rows_kernel    $load $store
quantize_rows_kernel  $load $codes
pool_rows_kernel      $load
tensor_gemm_kernel    $copy $store
attention_kernel      $copy $store
disentangled_kernel   $copy $store
persistent_gemm_kernel $load $store
swapped_gemm_kernel   $load $store
"

# Reads what cuobjdump says of one file: threads and registers of each function, then its code.
read -r -d '' program <<'AWK'
BEGIN {
  lines = split(rules, line, "\n")
  for (i = 1; i <= lines; i++) if (split(line[i], word, " ") > 1) {
    kernel[++kernels] = word[1]; needs[kernels] = substr(line[i], length(word[1]) + 1)
  }
}
# Registers are handed out in eights. setmaxnreg moves them between the warpgroups of a block: more than the block was
# launched with never come, and the warps wait for ever. One warpgroup, the producer, gives back.
function budget(   each, groups) {
  each = int((registers[name] + 7) / 8) * 8
  if (each * threads[name] > 65536) return " " registers[name] " registers for " threads[name] " threads"
  groups = threads[name] / 128
  if (taken > 0 && given + (groups - 1) * taken > groups * each)
    return " setmaxnreg " given " and " taken " of " each " registers for " groups " warpgroups"
  return ""
}
function finish(   i, j, n, need, wanted, wrong) {
  if (name == "") return
  # In mangled names a length precedes an identifier; template arguments or the end of the scope follow it.
  for (i = 1; i <= kernels; i++) if (name ~ "[0-9]" kernel[i] "[IE]") wanted = needs[i]
  if (hopper && name !~ /quantize_rows_kernel/) wanted = wanted (name ~ /fp8_e4m3/ ? " QGMMA" : " HGMMA")
  n = split(wanted, need, " ")
  for (j = 1; j <= n; j++) if (code !~ need[j]) wrong = wrong " no " need[j]
  if (code ~ /(LDL|STL)/) wrong = wrong " local memory"
  wrong = wrong budget()
  if (wrong == "") passed++; else { failed++; print "FAILED: " file ": " name ":" wrong }
}
function hexadecimal(text,   i, value) {
  text = tolower(text)
  for (i = 3; i <= length(text); i++) value = value * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
  return value
}
/^\.nv\.info\./ { info = substr($1, 10) }
/EIATTR_MAX_THREADS/ { bounds = 1 }
bounds && /Value:/ { threads[info] = hexadecimal($2) * hexadecimal($3) * hexadecimal($4); bounds = 0 }
/^ *Function [^:]*:$/ { info = $2; sub(/:$/, "", info) }
match($0, /REG:[0-9]+/) { registers[info] = substr($0, RSTART + 4, RLENGTH - 4) }
/Function :/ { finish(); name = $NF; code = ""; given = taken = 0 }
match($0, /USETMAXREG.*0x[0-9a-f]+ *;/) {
  count = $0; sub(/ *;.*/, "", count); sub(/.*0x/, "0x", count); count = hexadecimal(count)
  if ($0 ~ /DEALLOC/) given = count; else if (count > taken) taken = count
}
match($0, /(LDG|STG|LDGSTS|LDL|STL|HGMMA|QGMMA)[.A-Z0-9]*/) {
  token = substr($0, RSTART, RLENGTH)
  if (!((name, token) in seen)) { seen[name, token] = 1; code = code token "\n" }
}
END { finish(); print passed + 0, failed + 0 }
AWK

passed=0 failed=0
for cubin in "$1"/*.cubin; do
  [[ $cubin == *_sm90_* ]] && hopper=1 || hopper=0
  counts=$({ "$cuobjdump" -elf "$cubin" | grep -E '^\.nv\.info\.|EIATTR_MAX_THREADS|Value:'
             "$cuobjdump" -res-usage "$cubin" 2>&1
             "$cuobjdump" -sass "$cubin"; } |
    awk -v rules="${rules//\\/\\\\}" -v file="$(basename "$cubin" .cubin)" -v hopper=$hopper "$program" | c++filt)
  read -r good bad <<<"$(tail -n 1 <<<"$counts")"
  head -n -1 <<<"$counts"
  passed=$((passed + good)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
