// Config: kvd's options, from a TOML file, FLOTILLA_* variables and flags, in that rising order.
//
// One table (config.cc) says every option's name, kind, default and meaning; the flags, the
// variables, the file's keys, --help and --print-config follow from it. All mistakes are collected.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/logger.h"
#include "base/status.h"

namespace flotilla {

struct Config {
  std::string data_dir;
  std::string listen;
  std::string http_listen;
  std::string advertise;  // derived from `listen` when not given
  std::vector<std::string> join;
  std::uint32_t bootstrap_expect = 0;
  bool promote_joined = true;
  std::map<std::string, std::string> labels;
  std::uint32_t weight = 100;
  bool balance = true;
  Duration replace_after = std::chrono::minutes(5);
  std::uint64_t split_size = 1ull << 30;
  std::uint32_t split_load = 200'000;

  std::string log_level;
  LogFormat log_format = LogFormat::kText;
  std::string log_file;

  Duration request_timeout{};
  Duration election_timeout{};
  Duration heartbeat_interval{};
  Duration quiesce_after{};
  Duration shutdown_grace{};
  Duration slow_disk_after{};
  bool leases = false;

  std::uint64_t block_cache = 0;
  std::uint64_t write_buffer = 0;
  std::uint64_t memtable = 0;
  std::uint64_t wal_segment = 0;
  std::uint64_t wal_cache = 0;
  std::uint64_t wal_max = 0;
  std::uint64_t compact_after = 0;
  std::uint64_t compaction_rate = 0;
  std::uint64_t snapshot_rate = 0;
  bool vacuum = true;
  std::uint32_t vacuum_threshold = 0;
  std::uint32_t vacuum_percent = 0;
  Duration vacuum_age{};
  Duration vacuum_hold{};
  std::uint64_t disk_reserve = 0;
  std::uint32_t threads = 0;
  std::uint32_t requests_max = 0;
};

struct ConfigResult {
  enum class Action { kRun, kPrintConfig, kCheckConfig, kExit } action = Action::kRun;
  Config config;
  // One line each, with file, line and column, or the variable or flag: empty when all is well.
  std::vector<std::string> mistakes;
  // kPrintConfig: what holds and where it came from. kExit: help or version.
  std::string text;
};

// `environment`: the FLOTILLA_* variables, by name.
ConfigResult LoadConfig(const std::vector<std::string>& arguments,
                        const std::map<std::string, std::string>& environment,
                        const std::string& version);

}  // namespace flotilla
