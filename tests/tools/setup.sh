# Installing what the project needs, from Debian 12. Sourced by ./dev.

packages=(
  clang-19 libclang-rt-19-dev clang-tidy-19 clang-format-19 lld-19 llvm-19 cmake ninja-build ccache
  pkg-config git python3 curl procps ca-certificates
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc librocksdb-dev
  libsnappy-dev libbz2-dev liblz4-dev libzstd-dev zlib1g-dev
  libabsl-dev libfmt-dev libspdlog-dev libcli11-dev libtomlplusplus-dev prometheus-cpp-dev
  libcivetweb-dev libcurl4-openssl-dev libssl-dev libisal-dev libxxhash-dev libedit-dev
  libjemalloc-dev libgtest-dev libgmock-dev libbenchmark-dev librapidcheck-dev python3-grpcio
  python3-protobuf
)

# install_packages NAME...: quick when all are there.
install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "error: packages are missing: ${missing[*]}" >&2
      echo "hint:  run \`./dev setup\` as root, or install sudo" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends "${missing[@]}" >/dev/null
}

setup() { install_packages "${packages[@]}"; }
