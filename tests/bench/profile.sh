#!/usr/bin/env bash
# Where a node's time goes: runs each workload against three kvd, samples them with perf, and prints
# CPU per operation by stage. A flame graph of each is left below build/bench.
#
#   tests/bench/profile.sh [--ops put,get,...] [--outstanding N] [--api batch|unary] [--seconds N]
#
# Environment: as servers.sh says. Needs perf, and the right to sample (root, or
# kernel.perf_event_paranoid at most 1).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/bench/servers.sh

ops=put,get,mixed,cas,scan100 outstanding=256 api=batch seconds=5
while (($#)); do
  case $1 in
    --ops) ops=$2 ;;
    --outstanding) outstanding=$2 ;;
    --api) api=$2 ;;
    --seconds) seconds=$2 ;;
    *) fail "unknown option '$1'" "the head of tests/bench/profile.sh says which there are" ;;
  esac
  shift 2
done

prepare_work
start_flotilla
"$bin/kvctl" --endpoints "${flotilla_endpoints%,}" keyspace create pairs --split-at m >/dev/null
for op in ${ops//,/ }; do
  "$bin/flotilla_bench" --flotilla "${flotilla_endpoints%,}" --flotilla-pids "${flotilla_pids%,}" \
    --ops "$op" --outstanding "$outstanding" --apis "$api" --warm-up 2 \
    --seconds $((seconds + 2)) --json "$work/$op.json" --picture "$work/$op-bench.svg" >"$work/$op.log" 2>&1 &
  load=$!
  # The keys are loaded first, then the warm-up follows.
  wait_for "the load" grep -qx loaded "$work/$op.log"
  sleep 2.5
  perf record -o "$work/$op.perf" -g -F 499 -p "${flotilla_pids%,}" -- sleep "$seconds" \
    >/dev/null 2>"$work/$op-perf.log" ||
    fail "perf cannot sample" "see $work/$op-perf.log; sysctl kernel.perf_event_paranoid=1 may help"
  wait "$load" || fail "the load failed" "see $work/$op.log"
  perf script -i "$work/$op.perf" -F comm,ip,sym,dso 2>/dev/null |
    python3 tests/bench/profile.py --json "$work/$op.json" --svg "$work/$op.svg"
  [[ -n ${BENCH_KEEP_PERF:-} ]] || rm -f "$work/$op.perf"
done
