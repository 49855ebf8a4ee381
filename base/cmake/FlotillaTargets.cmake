# How every target of this project is compiled and linked.
#
#   flotilla_library(NAME SOURCES ... DEPS ...)    a static library, include root = the repository
#   flotilla_binary(NAME SOURCES ... DEPS ...)     a program in build/bin
#   flotilla_test(NAME SOURCES ... DEPS ... [LABELS ...] [ARGS ...])   a googletest program, one ctest entry

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -gline-tables-only")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(FLOTILLA_FUZZ "Build the libFuzzer targets" OFF)
set(FLOTILLA_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

add_library(flotilla_flags INTERFACE)
target_include_directories(flotilla_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(flotilla_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wno-unused-parameter -Wnon-virtual-dtor -Woverloaded-virtual
  -Wimplicit-fallthrough -Wshadow -fno-omit-frame-pointer)
add_link_options(-fuse-ld=lld-19)
if(FLOTILLA_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -gline-tables-only -D_GLIBCXX_ASSERTIONS")
  add_compile_options(-fsanitize=${FLOTILLA_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FLOTILLA_SANITIZE})
endif()
if(FLOTILLA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

option(FLOTILLA_PLANTED "Build with planted bugs that the simulator can switch on" OFF)
if(FLOTILLA_PLANTED)
  add_compile_definitions(FLOTILLA_PLANTED)
endif()

function(flotilla_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC flotilla_flags ${arg_DEPS})
endfunction()

function(flotilla_binary name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE flotilla_flags ${arg_DEPS})
endfunction()

function(flotilla_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;DEPS;LABELS;ARGS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE flotilla_flags ${arg_DEPS} GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
