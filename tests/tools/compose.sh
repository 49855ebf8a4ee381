# The image, and the check of the compose files on a real engine. Sourced by ./dev.

# An engine that runs, or an error that says what is wrong.
docker_ready() {
  install_packages docker.io docker-compose
  docker info >/dev/null 2>&1 && return 0
  ((EUID == 0)) && service docker start >/dev/null 2>&1
  local try
  for ((try = 0; try < 100; try++)); do
    docker info >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  echo "error: no Docker engine answers: $(docker info 2>&1 | tail -n 1)" >&2
  echo "hint:  start dockerd, or join the group \`docker\`" >&2
  return 1
}

# debian:bookworm-slim, from the registry or, where that cannot be reached, from Debian's mirror.
base_image() {
  docker image inspect debian:bookworm-slim >/dev/null 2>&1 && return 0
  docker pull -q debian:bookworm-slim 2>/dev/null && return 0
  echo "the registry does not answer: making debian:bookworm-slim with debootstrap"
  install_packages debootstrap
  local root
  root=$(mktemp -d)
  debootstrap --variant=minbase bookworm "$root" >/dev/null
  tar -C "$root" -c . | docker import - debian:bookworm-slim >/dev/null
  rm -rf "$root"
}

# compose_check [3|5]: both when not said.
compose_check() {
  docker_ready
  base_image
  echo "building the image; the first time takes minutes"
  docker build -q -t flotilla -f deploy/Dockerfile . >/dev/null
  docker build -q -t flotilla-prometheus deploy/prometheus >/dev/null
  (($#)) || set -- 3 5
  local count
  for count in "$@"; do python3 tests/compose/compose_check.py "$count"; done
}
