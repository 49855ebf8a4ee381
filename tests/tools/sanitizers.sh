# Tests under sanitizers, fuzzing, and damaged data directories. Sourced by ./dev.

# gRPC, protobuf and RocksDB are Debian's, not instrumented; tsan.supp says what follows from that.
sanitizer_options() {
  export TSAN_OPTIONS="suppressions=$PWD/tests/tools/tsan.supp ignore_noninstrumented_modules=1"
  export UBSAN_OPTIONS="print_stacktrace=1"
}

# Tests of what has threads. The rest has none, and would only be slow.
threaded='base_test|executor_test|task_test|raft_log_threads_test|raft_log_test|raft_transport_test'
threaded+='|client_stress_test|client_grpc_test|kvd_parts_test|kv_test|apply_pump_test'

# Long searches in small state spaces: memory errors would show in the tests beside them.
searches='raft_core_explore_test|raft_core_random_test|raft_log_model_test'
# A thousand simulated nodes, faults at every moment: the same, and slow.
searches+='|gossip_spreading_test|gossip_storm_test|merge_faults_test'
# Tools for people, examples and the benchmark have their run in the release build.
elsewhere='shards_bench_test|kvctl_.*|client_example_test|bench_test|check_self_test|corruption'

configure_preset() {
  setup
  cmake --preset "$1" >"/dev/null"
}

# run_sanitized PRESET TESTS: builds the tests of that pattern (targets have the tests' names), runs
# them.
run_sanitized() {
  local preset=$1 pattern=$2 targets=()
  local build=build/$preset
  mapfile -t targets < <(ctest --test-dir "$build" -N -R "^($pattern)\$" |
    sed -n 's/^ *Test *#[0-9]*: //p')
  cmake --build "$build" --target "${targets[@]}"
  sanitizer_options
  ctest --test-dir "$build" -R "^($pattern)\$" --output-on-failure -j "$(nproc)"
}

# All tests under AddressSanitizer and UndefinedBehaviorSanitizer, leaks included.
asan() {
  configure_preset asan
  cmake --build build/asan
  sanitizer_options
  ctest --test-dir build/asan --output-on-failure -j "$(nproc)" "$@"
}

# Everything that has threads under ThreadSanitizer.
tsan() {
  configure_preset tsan
  run_sanitized tsan "$threaded"
}

# Whether a program with this sanitizer starts here: some kernels and containers do not let it.
sanitizer_runs() {
  local place result=0
  place=$(mktemp -d)
  echo 'int main() {}' >"$place/probe.cc"
  "${CXX:-clang++-19}" -fsanitize="$1" "$place/probe.cc" -o "$place/probe" && "$place/probe" ||
    result=1
  rm -r "$place"
  ((result == 0)) || echo "skipped: this machine does not run programs with -fsanitize=$1"
  return "$result"
}

# What CI runs of both.
sanitized_share() {
  ! sanitizer_runs address,undefined || asan_share
  ! sanitizer_runs thread || tsan
}

asan_share() {
  configure_preset asan
  cmake --build build/asan --target flotilla_sim
  local all
  all=$(ctest --test-dir build/asan -N -LE 'cluster|sim' -E "^($searches|$elsewhere)\$" |
    sed -n 's/^ *Test *#[0-9]*: //p' | paste -sd '|')
  run_sanitized asan "$all"
  build/asan/bin/flotilla_sim --seeds 1..4 --virtual-seconds 10
}

# fuzz [NAME] [--seconds N]
fuzz() {
  local name='' seconds=60
  while (($#)); do
    case $1 in
      --seconds) seconds=$2 && shift ;;
      *) name=$1 ;;
    esac
    shift
  done
  local names=("$name")
  [[ -n $name ]] || mapfile -t names < <(ls tests/fuzz/corpus)
  configure_preset asan
  cmake --build build/asan --target "${names[@]/#/fuzz_}"
  for name in "${names[@]}"; do
    echo "--- $name"
    tests/fuzz/run.sh "build/asan/tests/fuzz_$name" "$seconds"
  done
}

corrupt() {
  configure_preset release
  cmake --build build --target flotilla_corruption
  exec build/bin/flotilla_corruption "$@"
}
