# Three kvd and three etcd on loopback, with fsync on and their data below $work. Sourced by run.sh and
# profile.sh, from the project's directory.
#
# Environment: BENCH_PORT_BASE=25200, BENCH_BIN=build/bin.

bin=${BENCH_BIN:-build/bin}
work=$PWD/build/bench
port_base=${BENCH_PORT_BASE:-25200}
pids=()

fail() {
  printf 'error: %s\n' "$1" >&2
  printf 'hint:  %s\n' "$2" >&2
  exit 1
}

stop_servers() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
}
trap stop_servers EXIT

# port_open HOST PORT: somebody listens there.
port_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# wait_for WHAT COMMAND...: tries for twenty seconds.
wait_for() {
  local what=$1 try
  shift
  for ((try = 0; try < 200; try++)); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  fail "$what did not come up within 20 s" "look at $work/*.log"
}

start_etcd() {
  command -v etcd >/dev/null || fail "etcd is not installed" "apt-get install etcd-server etcd-client"
  local i client peer members=""
  for i in 1 2 3; do members+="e$i=http://127.0.0.1:$((port_base + 30 + i)),"; done
  etcd_endpoints="" etcd_pids=""
  for i in 1 2 3; do
    client=$((port_base + 20 + i)) peer=$((port_base + 30 + i))
    ETCD_UNSUPPORTED_ARCH="" etcd --name "e$i" --data-dir "$work/etcd-$i" --log-level error \
      --listen-client-urls "http://127.0.0.1:$client" \
      --advertise-client-urls "http://127.0.0.1:$client" \
      --listen-peer-urls "http://127.0.0.1:$peer" \
      --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
      --initial-cluster "${members%,}" --initial-cluster-token bench \
      --quota-backend-bytes $((6 * 1024 * 1024 * 1024)) >"$work/etcd-$i.log" 2>&1 &
    pids+=($!)
    etcd_pids+="$!,"
    etcd_endpoints+="127.0.0.1:$client,"
  done
  wait_for etcd env ETCDCTL_API=3 etcdctl --endpoints "${etcd_endpoints%,}" endpoint health
}

start_flotilla() {
  [[ -x $bin/kvd ]] || fail "$bin/kvd is missing" "run \`./dev build\`"
  local i port join=""
  for i in 1 2 3; do join+="127.0.0.1:$((port_base + i)),"; done
  flotilla_endpoints="" flotilla_pids=""
  for i in 1 2 3; do
    port=$((port_base + i))
    "$bin/kvd" --data-dir "$work/kvd-$i" --listen "127.0.0.1:$port" \
      --http-listen "127.0.0.1:$((port_base + 10 + i))" \
      --join "${join%,}" --bootstrap-expect 3 >"$work/kvd-$i.log" 2>&1 &
    pids+=($!)
    flotilla_pids+="$!,"
    flotilla_endpoints+="127.0.0.1:$port,"
  done
  for i in 1 2 3; do
    wait_for "kvd $i" curl -sf "http://127.0.0.1:$((port_base + 10 + i))/readyz"
  done
}

# prepare_work: an empty directory, and ports that are free.
prepare_work() {
  [[ -x $bin/flotilla_bench ]] || fail "$bin/flotilla_bench is missing" "run \`./dev build\`"
  port_open 127.0.0.1 $((port_base + 1)) && fail "port $((port_base + 1)) is taken" \
    "another benchmark runs? choose other ports by BENCH_PORT_BASE"
  rm -rf "$work"
  mkdir -p "$work"
}
