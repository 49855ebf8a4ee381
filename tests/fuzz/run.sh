#!/usr/bin/env bash
# run.sh PROGRAM SECONDS: fuzzes from the kept corpus for so long. Whatever is found lands beside the
# program: an input that fails in findings/, new inputs in corpus/ (they are not kept in the
# repository by themselves).
set -euo pipefail
program=$1 seconds=$2
name=$(basename "$program")
name=${name#fuzz_}
kept=$(dirname "${BASH_SOURCE[0]}")/corpus/$name
work=$(dirname "$program")/../fuzz
mkdir -p "$work/corpus/$name" "$work/findings"
work=$(cd "$work" && pwd)
# Short stacks of allocations: whole nodes make many.
export ASAN_OPTIONS=${ASAN_OPTIONS:-malloc_context_size=8}
exec "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 \
  -report_slow_units=60 -print_final_stats=1 -artifact_prefix="$work/findings/$name-" "$work/corpus/$name" "$kept"
