#!/bin/bash
# The fault matrix: each injected fault must be noticed by every configuration that claims it, and the kernels without a
# fault by none. Usage: faults.sh PROGRAM none|address|thread; the last line is "N passed, N failed".
#
# Configurations: fifo (plain, nothing delayed), delay (plain, random schedule, delayed completion, five seeds),
# address, thread (priority schedule, delayed completion, two clusters resident). With "!" the sanitizer itself must
# report it; without, a wrong result or a failure that the emulator reports will do as well.
program=$1 sanitizer=$2
log=$(mktemp) passed=0 failed=0
trap 'rm -f "$log"' EXIT

# fault                        noticed by
read -r -d '' matrix <<'TABLE'
none
no_block_barrier               fifo delay thread!
prefetch_before_barrier        delay thread!
no_copy_wait                   delay
reads_out_of_bounds            fifo address!
reads_neighbour                fifo delay address thread
uninitialised_accumulator      fifo delay address thread
blocks_share_output            fifo thread!
wrong_transaction_bytes        fifo delay address thread
no_empty_wait                  fifo delay thread
no_full_wait                   delay thread!
ignores_try_wait               delay
no_wgmma_fence                 fifo delay address thread
no_wgmma_wait                  fifo delay address thread
stage_released_early           delay thread!
no_proxy_fence                 thread!
no_named_barrier               delay thread!
no_store_wait                  delay
no_grid_wait                   fifo delay address thread
no_grid_wait_when_idle         fifo delay address thread
reads_before_grid_wait         fifo delay thread!
writes_before_grid_wait        fifo delay thread!
no_first_meeting               fifo delay address thread
no_exchange_wait               fifo delay address thread
sends_after_arriving           thread!
one_exchange_buffer            delay thread!
no_last_meeting                fifo delay address thread
TABLE

run() { # fault configuration: the program's exit status
  local schedule=random delay=1 resident=2
  case $2 in
    fifo) schedule=fifo delay=0 resident=1 ;;
    thread) schedule=priority ;;
  esac
  PADLESS_EMULATOR_SCHEDULE=$schedule PADLESS_EMULATOR_DELAY=$delay PADLESS_EMULATOR_RESIDENT=$resident \
    ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS=halt_on_error=1:history_size=7:exitcode=66 \
    timeout 120 "$program" "$1" >"$log" 2>&1
}

case $sanitizer in
  none) configurations="fifo delay" ;;
  *) configurations=$sanitizer ;;
esac
while read -r fault claims; do
  for configuration in $configurations; do
    expect=0 report=
    if [[ $fault != none ]]; then
      expect=1
      if [[ " $claims " == *" $configuration! "* ]]; then
        report='ERROR: AddressSanitizer|WARNING: ThreadSanitizer'
      elif [[ " $claims " != *" $configuration "* ]]; then
        continue
      fi
    fi
    run "$fault" "$configuration"
    status=$?
    noticed=$((status != 0 && status != 2 && status != 124))
    summary=$(grep -m1 -E 'noticed|ERROR: AddressSanitizer|WARNING: ThreadSanitizer' "$log" | cut -c1-140)
    if ((noticed == expect && status != 2 && status != 124)) && grep -q -E "$report" "$log"; then
      passed=$((passed + 1)) verdict=ok
    else
      failed=$((failed + 1)) verdict=FAILED
    fi
    printf '%-7s %-26s %-8s %s\n' "$verdict" "$fault" "$configuration" "$summary"
  done
done <<<"$matrix"
echo "$passed passed, $failed failed"
((failed == 0))
