# Every library that the project uses, all from Debian 12; `./dev setup` installs them.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(Protobuf REQUIRED)
find_package(RocksDB CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(tomlplusplus CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(civetweb CONFIG REQUIRED)
find_package(GTest CONFIG REQUIRED)
find_package(benchmark CONFIG REQUIRED)
pkg_check_modules(GRPC REQUIRED IMPORTED_TARGET grpc++)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
# Its header is all of it that is used.
pkg_check_modules(XXHASH REQUIRED libxxhash)
pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)

# The allocator of programs that need a fast one; a sanitizer brings its own.
add_library(flotilla_allocator INTERFACE)
if(NOT FLOTILLA_SANITIZE)
  target_link_libraries(flotilla_allocator INTERFACE
    "-Wl,--no-as-needed" PkgConfig::JEMALLOC "-Wl,--as-needed")
endif()

# Names that stay the same should the package behind them change.
add_library(flotilla_grpc INTERFACE)
target_link_libraries(flotilla_grpc INTERFACE PkgConfig::GRPC protobuf::libprotobuf)
add_library(flotilla_rocksdb INTERFACE)
target_link_libraries(flotilla_rocksdb INTERFACE RocksDB::rocksdb-shared)
