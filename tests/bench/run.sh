#!/usr/bin/env bash
# Starts three kvd and three etcd on loopback, each with fsync on and its data below build/bench,
# runs flotilla_bench against both, and takes everything down again.
#
#   tests/bench/run.sh [--quick] [--json FILE] [--picture FILE] [any option of flotilla_bench]
#
# Environment: BENCH_SYSTEMS="flotilla etcd" (either alone works), BENCH_PORT_BASE=25200; BENCH_SHARDS=N
# has the batching client use a keyspace of so many shards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/bench/servers.sh

prepare_work
arguments=()
for system in ${BENCH_SYSTEMS:-flotilla etcd}; do
  case $system in
    flotilla)
      start_flotilla
      arguments+=(--flotilla "${flotilla_endpoints%,}" --flotilla-pids "${flotilla_pids%,}")
      "$bin/kvctl" --endpoints "${flotilla_endpoints%,}" keyspace create pairs --split-at m >/dev/null
      if [[ -n ${BENCH_SHARDS:-} ]]; then
        "$bin/kvctl" --endpoints "${flotilla_endpoints%,}" keyspace create bench \
          --partitioning hash --shards "$BENCH_SHARDS" >/dev/null
        arguments+=(--keyspace bench)
      fi
      ;;
    etcd)
      start_etcd
      arguments+=(--etcd "${etcd_endpoints%,}" --etcd-pids "${etcd_pids%,}")
      ;;
    *) fail "unknown system '$system'" "BENCH_SYSTEMS is made of flotilla and etcd" ;;
  esac
done

"$bin/flotilla_bench" "${arguments[@]}" --picture "$work/bench.svg" "$@"
