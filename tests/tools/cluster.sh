# A cluster of kvd processes on loopback, under .flotilla. Sourced by ./dev.

cluster_directory=$PWD/.flotilla

node_listen() { echo "127.0.0.1:$((7100 + $1))"; }
node_http() { echo "127.0.0.1:$((7200 + $1))"; }

# node_running I: its process is there, and is ours.
node_running() {
  local pid_file=$cluster_directory/n$1/pid pid
  [[ -f $pid_file ]] || return 1
  pid=$(<"$pid_file")
  [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == "$PWD/build/bin/kvd"* ]]
}

# cluster_endpoints COUNT
cluster_endpoints() {
  local i all=""
  for ((i = 1; i <= $1; i++)); do all+="$(node_listen "$i"),"; done
  echo "${all%,}"
}

node_start() {
  local i=$1 count=$2 directory=$cluster_directory/n$1
  mkdir -p "$directory"
  nohup "$PWD/build/bin/kvd" --data-dir "$directory/data" --listen "$(node_listen "$i")" \
    --http-listen "$(node_http "$i")" --join "$(cluster_endpoints "$count")" \
    --bootstrap-expect "$count" </dev/null >>"$directory/kvd.log" 2>&1 &
  echo $! >"$directory/pid"
}

# node_ended I: within fifteen seconds.
node_ended() {
  local try
  for ((try = 0; try < 150; try++)); do
    node_running "$1" || return 0
    sleep 0.1
  done
  return 1
}

# wait_ready COUNT: every node says so, within twenty seconds.
wait_ready() {
  local i try
  for ((i = 1; i <= $1; i++)); do
    for ((try = 0; try < 200; try++)); do
      curl -sf "http://$(node_http "$i")/readyz" >/dev/null && continue 2
      if ! node_running "$i"; then
        echo "error: node $i has ended; the end of its log:" >&2
        tail -n 5 "$cluster_directory/n$i/kvd.log" >&2
        return 1
      fi
      sleep 0.1
    done
    echo "error: node $i is not ready after 20 s" >&2
    echo "hint:  see $cluster_directory/n$i/kvd.log" >&2
    return 1
  done
}

cluster_up() {
  local count=$1 i endpoints
  [[ $count =~ ^[1-9]$ ]] || { echo "error: ./dev up takes a number of nodes, 1 to 9" >&2; return 2; }
  local known
  if [[ -f $cluster_directory/size ]] && known=$(<"$cluster_directory/size") && ((known != count)); then
    echo "error: there is a cluster of $known nodes in $cluster_directory" >&2
    echo "hint:  \`./dev up $known\` starts it; \`./dev down --wipe\` removes it" >&2
    return 1
  fi
  mkdir -p "$cluster_directory"
  echo "$count" >"$cluster_directory/size"
  for ((i = 1; i <= count; i++)); do
    node_running "$i" || node_start "$i" "$count"
  done
  endpoints=$(cluster_endpoints "$count")
  wait_ready "$count"
  build/bin/kvctl --endpoints "$endpoints" put greeting "hello, fleet" >/dev/null
  local value
  value=$(build/bin/kvctl --endpoints "$endpoints" get greeting)
  cat <<TEXT

$count nodes are up. The key \`greeting\` was put, and reads: $value

  gRPC     $endpoints
  HTTP     http://$(node_http 1)/metrics, and so on
  data     $cluster_directory/n1 ..., logs in kvd.log there
  pids     $(for ((i = 1; i <= count; i++)); do printf 'n%s=%s ' "$i" "$(<"$cluster_directory/n$i/pid")"; done)

Try:
  export KVCTL_ENDPOINTS=$endpoints
  build/bin/kvctl status
  build/bin/kvctl put color blue && build/bin/kvctl get color
  build/bin/kvctl scan
  build/bin/kvctl leader transfer
  kill -9 \$(cat .flotilla/n1/pid)      # it goes on; \`./dev up $count\` starts the node again
  ./dev down
TEXT
}

# cluster_whole COUNT: every group has a leader and all its replicas, none far behind; within a
# minute. Before that, the loss of another node could stop a group.
cluster_whole() {
  local endpoints try
  endpoints=$(cluster_endpoints "$1")
  for ((try = 0; try < 300; try++)); do
    build/bin/kvctl --endpoints "$endpoints" group list -o plain 2>/dev/null |
      awk -F'\t' '{ groups++ } $3 == "?" || $6 > 1000 || $7 ~ / \?/ { exit bad = 1 }
                  END { exit bad || !groups }' && return 0
    sleep 0.2
  done
  echo "error: some group has not caught up within a minute: see \`kvctl group list\`" >&2
  return 1
}

cluster_restart() {
  local count i
  if [[ ! -f $cluster_directory/size ]]; then
    echo "error: there is no cluster in $cluster_directory: \`./dev up\` makes one" >&2
    return 1
  fi
  count=$(<"$cluster_directory/size")
  cluster_whole "$count"
  for ((i = 1; i <= count; i++)); do
    if node_running "$i"; then kill -TERM "$(<"$cluster_directory/n$i/pid")"; fi
    if ! node_ended "$i"; then
      echo "error: node $i did not stop within 15 s; see $cluster_directory/n$i/kvd.log" >&2
      return 1
    fi
    node_start "$i" "$count"
    wait_ready "$count"
    cluster_whole "$count"
    echo "node $i has restarted"
  done
}

cluster_down() {
  local directory pid i
  for directory in "$cluster_directory"/n*; do
    [[ -d $directory ]] || continue
    i=${directory##*/n}
    if node_running "$i"; then kill -TERM "$(<"$directory/pid")"; fi
  done
  for directory in "$cluster_directory"/n*; do
    [[ -d $directory ]] || continue
    i=${directory##*/n}
    if ! node_ended "$i"; then
      pid=$(<"$directory/pid")
      echo "node $i did not stop within 15 s: killing process $pid"
      kill -KILL "$pid"
    fi
    rm -f "$directory/pid"
  done
  if [[ ${1:-} == --wipe ]]; then
    rm -rf "$cluster_directory"
    echo "the cluster is down; its data is gone"
  else
    echo "the cluster is down; its data is in $cluster_directory"
  fi
}
