#include "cmd/kvd/config_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>

#include "base/units.h"

namespace flotilla {
namespace {

using Assign = std::function<Status(Config&, const std::string&)>;

Assign Text(std::string Config::* field) {
  return [field](Config& config, const std::string& text) {
    config.*field = text;
    return absl::OkStatus();
  };
}

Assign Size(std::uint64_t Config::* field) {
  return [field](Config& config, const std::string& text) -> Status {
    ASSIGN_OR_RETURN(config.*field, ParseSize(text));
    return absl::OkStatus();
  };
}

Assign Time(Duration Config::* field) {
  return [field](Config& config, const std::string& text) -> Status {
    ASSIGN_OR_RETURN(config.*field, ParseDuration(text));
    return absl::OkStatus();
  };
}

Assign Number(std::uint32_t Config::* field) {
  return [field](Config& config, const std::string& text) -> Status {
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), config.*field);
    if (error == std::errc() && end == text.data() + text.size()) return absl::OkStatus();
    return Error(Reason::kBadRequest, fmt::format("`{}` is not a whole number", text));
  };
}

Assign Switch(bool Config::* field) {
  return [field](Config& config, const std::string& text) -> Status {
    if (text != "true" && text != "false") {
      return Error(Reason::kBadRequest, fmt::format("`{}` is neither true nor false", text));
    }
    config.*field = text == "true";
    return absl::OkStatus();
  };
}

std::string Trim(std::string text) {
  const auto blank = [](unsigned char c) { return std::isspace(c) != 0; };
  while (!text.empty() && blank(static_cast<unsigned char>(text.back()))) text.pop_back();
  const auto first = std::find_if_not(text.begin(), text.end(), blank);
  return {first, text.end()};
}

Status AssignJoin(Config& config, const std::string& text) {
  config.join.clear();
  std::istringstream parts(text);
  std::string part;
  while (std::getline(parts, part, ',')) {
    if (part = Trim(part); !part.empty()) config.join.push_back(part);
  }
  return absl::OkStatus();
}

Status AssignLabels(Config& config, const std::string& text) {
  config.labels.clear();
  std::istringstream parts(text);
  std::string part;
  while (std::getline(parts, part, ',')) {
    part = Trim(part);
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == part.size()) {
      return Error(Reason::kBadRequest,
                   fmt::format("`{}` is no label: write NAME=VALUE, such as zone=a", part));
    }
    if (!config.labels.emplace(part.substr(0, equals), part.substr(equals + 1)).second) {
      return Error(Reason::kBadRequest,
                   fmt::format("the label `{}` is given twice", part.substr(0, equals)));
    }
  }
  return absl::OkStatus();
}

Status AssignLevel(Config& config, const std::string& text) {
  for (const char* level : {"trace", "debug", "info", "warning", "error", "critical", "off"}) {
    if (text == level) {
      config.log_level = text;
      return absl::OkStatus();
    }
  }
  return Error(
      Reason::kBadRequest,
      fmt::format("`{}` is not a level: trace, debug, info, warning, error, critical, off", text));
}

Status AssignFormat(Config& config, const std::string& text) {
  if (text != "text" && text != "json") {
    return Error(Reason::kBadRequest, fmt::format("`{}` is neither text nor json", text));
  }
  config.log_format = text == "json" ? LogFormat::kJson : LogFormat::kText;
  return absl::OkStatus();
}

}  // namespace

bool ConfigOption::IsList() const { return kind.ends_with("..."); }

std::vector<ConfigOption> ConfigOptions() {
  return {
      {"data-dir", "PATH", "flotilla-data", "where the node keeps everything",
       Text(&Config::data_dir)},
      {"listen", "HOST:PORT", "127.0.0.1:7101", "gRPC, for clients and peers",
       Text(&Config::listen)},
      {"http-listen", "HOST:PORT", "127.0.0.1:7201", "HTTP: /healthz, /readyz, /metrics",
       Text(&Config::http_listen)},
      {"advertise", "HOST:PORT", "", "what others dial; --listen when not given",
       Text(&Config::advertise)},
      {"join", "ADDRESS,...", "", "nodes to ask when the data directory is new", AssignJoin},
      {"bootstrap-expect", "N", "0",
       "found a cluster once N new nodes have met; 0: only join an existing one",
       Number(&Config::bootstrap_expect)},
      {"promote-joined", "BOOL", "true", "become a voter once caught up after joining",
       Switch(&Config::promote_joined)},
      {"labels", "NAME=VALUE,...", "", "what keyspaces place replicas by, such as zone=a",
       AssignLabels},
      {"weight", "N", "100", "this node's share of the replicas, relative to others; 0: none",
       Number(&Config::weight)},
      {"balance", "BOOL", "true",
       "as the directory's leader: place replicas and leaders, split and merge shards",
       Switch(&Config::balance)},
      {"replace-after", "DURATION", "5m",
       "a node away for so long loses its replicas and its vote to others",
       Time(&Config::replace_after)},
      {"split-size", "SIZE", "1GiB", "a shard that is larger is split", Size(&Config::split_size)},
      {"split-load", "N", "200000", "a shard with more requests a second is split",
       Number(&Config::split_load)},
      {"log-level", "LEVEL", "info", "trace, debug, info, warning, error, critical, off",
       AssignLevel},
      {"log-format", "FORMAT", "text", "text or json", AssignFormat},
      {"log-file", "PATH", "", "standard error when not given", Text(&Config::log_file)},
      {"request-timeout", "DURATION", "10s", "of requests that carry no deadline",
       Time(&Config::request_timeout)},
      {"election-timeout", "DURATION", "150ms",
       "a follower campaigns after one to two of these without a leader",
       Time(&Config::election_timeout)},
      {"heartbeat-interval", "DURATION", "50ms", "of a leader", Time(&Config::heartbeat_interval)},
      {"quiesce-after", "DURATION", "3s", "an idle group falls silent after this; 0: never",
       Time(&Config::quiesce_after)},
      {"leases", "BOOL", "false",
       "linearizable reads under a leader lease; assumes clocks that drift by under 10 %",
       Switch(&Config::leases)},
      {"slow-disk-after", "DURATION", "1s",
       "a log write that takes longer makes the node give its leaderships away",
       Time(&Config::slow_disk_after)},
      {"shutdown-grace", "DURATION", "3s", "time to hand leaderships over when stopping",
       Time(&Config::shutdown_grace)},
      {"block-cache", "SIZE", "0",
       "cache of blocks and rows, over all groups; 0: an eighth of memory",
       Size(&Config::block_cache)},
      {"write-buffer", "SIZE", "256MiB", "memtables, over all groups", Size(&Config::write_buffer)},
      {"memtable", "SIZE", "32MiB", "one memtable", Size(&Config::memtable)},
      {"wal-segment", "SIZE", "64MiB", "one file of the log", Size(&Config::wal_segment)},
      {"wal-cache", "SIZE", "64MiB", "newest log entries kept in memory", Size(&Config::wal_cache)},
      {"wal-max", "SIZE", "1GiB", "log of all groups past which they are made to let go of it",
       Size(&Config::wal_max)},
      {"compact-after", "SIZE", "128MiB", "log of a group after which its prefix is let go",
       Size(&Config::compact_after)},
      {"compaction-rate", "SIZE", "256MiB",
       "a second, of all flushes and compactions together; 0: no bound",
       Size(&Config::compaction_rate)},
      {"snapshot-rate", "SIZE", "32MiB", "a second, of all snapshots that the node sends together",
       Size(&Config::snapshot_rate)},
      {"vacuum", "BOOL", "true",
       "drop old versions by itself, where there are enough; without it by `kvctl vacuum run`",
       Switch(&Config::vacuum)},
      {"vacuum-threshold", "N", "10000",
       "a group is vacuumed when so many versions may go, and the share of the next",
       Number(&Config::vacuum_threshold)},
      {"vacuum-percent", "N", "20", "of its live versions", Number(&Config::vacuum_percent)},
      {"vacuum-age", "DURATION", "1h", "or when anything may go and nothing has for so long",
       Time(&Config::vacuum_age)},
      {"vacuum-hold", "DURATION", "5m",
       "a transaction keeps the versions that it reads for so long beyond their retention",
       Time(&Config::vacuum_hold)},
      {"disk-reserve", "SIZE", "256MiB",
       "writes are refused while the disk has less space free; 0: until it is full",
       Size(&Config::disk_reserve)},
      {"threads", "N", "0", "of the executor; 0: one per core", Number(&Config::threads)},
      {"requests-max", "N", "100000", "open requests; beyond it OVERLOADED",
       Number(&Config::requests_max)},
  };
}

std::string ConfigOption::FileKey() const {
  std::string key = name;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string ConfigOption::Variable() const {
  std::string upper = "FLOTILLA_" + FileKey();
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

}  // namespace flotilla
