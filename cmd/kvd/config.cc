#include "cmd/kvd/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>

#include "base/units.h"

namespace flotilla {
namespace {

using Assign = std::function<Status(Config&, const std::string&)>;

struct Option {
  std::string name;  // of the flag; the file says it with underscores, the variable in capitals
  std::string kind;  // for people
  std::string fallback;
  std::string help;
  Assign assign;
};

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

std::vector<Option> Options() {
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
      {"quiesce-after", "DURATION", "0", "an idle group falls silent after this; 0: never",
       Time(&Config::quiesce_after)},
      {"leases", "BOOL", "false",
       "linearizable reads under a leader lease; assumes clocks that drift by under 10 %",
       Switch(&Config::leases)},
      {"shutdown-grace", "DURATION", "3s", "time to hand leaderships over when stopping",
       Time(&Config::shutdown_grace)},
      {"retention", "DURATION", "10m", "how long superseded versions are kept at least",
       Time(&Config::retention)},
      {"block-cache", "SIZE", "256MiB", "RocksDB's cache of blocks, over all groups",
       Size(&Config::block_cache)},
      {"write-buffer", "SIZE", "256MiB", "memtables, over all groups", Size(&Config::write_buffer)},
      {"memtable", "SIZE", "64MiB", "one memtable", Size(&Config::memtable)},
      {"wal-segment", "SIZE", "64MiB", "one file of the log", Size(&Config::wal_segment)},
      {"wal-cache", "SIZE", "64MiB", "newest log entries kept in memory", Size(&Config::wal_cache)},
      {"compact-after", "SIZE", "128MiB", "log of a group after which its prefix is let go",
       Size(&Config::compact_after)},
      {"threads", "N", "0", "of the executor; 0: one per core", Number(&Config::threads)},
      {"requests-max", "N", "100000", "open requests; beyond it OVERLOADED",
       Number(&Config::requests_max)},
  };
}

std::string FileKey(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string VariableName(const std::string& name) {
  std::string upper = "FLOTILLA_" + FileKey(name);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

std::size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string Suggestion(const std::string& name, const std::vector<std::string>& known) {
  const auto best = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return EditDistance(name, a) < EditDistance(name, b);
  });
  if (best == known.end() || EditDistance(name, *best) > 3) return "";
  return fmt::format("; did you mean `{}`?", *best);
}

struct Value {
  std::string text;
  std::string source;
};

class Loader {
 public:
  Loader() : options_(Options()) {
    for (const Option& option : options_) values_[option.name] = {option.fallback, "default"};
  }

  const std::vector<Option>& options() const { return options_; }
  std::vector<std::string>& mistakes() { return mistakes_; }

  void ReadFile(const std::string& path) {
    const toml::table* table = nullptr;
    toml::table parsed;
    try {
      parsed = toml::parse_file(path);
      table = &parsed;
    } catch (const toml::parse_error& error) {
      mistakes_.push_back(fmt::format("{}:{}:{}: {}", path, error.source().begin.line,
                                      error.source().begin.column, error.description()));
      return;
    }
    std::vector<std::string> known;
    for (const Option& option : options_) known.push_back(FileKey(option.name));
    for (const auto& [key, node] : *table) {
      const std::string name(key.str());
      const std::string where =
          fmt::format("{}:{}:{}", path, key.source().begin.line, key.source().begin.column);
      const auto found = std::find(known.begin(), known.end(), name);
      if (found == known.end()) {
        mistakes_.push_back(
            fmt::format("{}: unknown option `{}`{}", where, name, Suggestion(name, known)));
        continue;
      }
      const std::optional<std::string> text = TextOf(node);
      if (!text) {
        mistakes_.push_back(fmt::format("{}: `{}` takes one value", where, name));
        continue;
      }
      Set(options_[static_cast<std::size_t>(found - known.begin())].name, *text, where);
    }
  }

  void ReadEnvironment(const std::map<std::string, std::string>& environment) {
    std::vector<std::string> known{"FLOTILLA_CONFIG"};
    for (const Option& option : options_) known.push_back(VariableName(option.name));
    for (const auto& [name, text] : environment) {
      const auto found = std::find(known.begin(), known.end(), name);
      if (found == known.end()) {
        mistakes_.push_back(fmt::format("{}: unknown variable{}", name, Suggestion(name, known)));
      } else if (found != known.begin()) {
        Set(options_[static_cast<std::size_t>(found - known.begin()) - 1].name, text, name);
      }
    }
  }

  void Set(const std::string& name, const std::string& text, const std::string& source) {
    values_[name] = {text, source};
  }

  Config Finish() {
    Config config;
    for (const Option& option : options_) {
      const Value& value = values_[option.name];
      if (const Status status = option.assign(config, value.text); !status.ok()) {
        mistakes_.push_back(
            fmt::format("{}: {}: {}", value.source, option.name, MessageOf(status)));
      }
    }
    if (config.advertise.empty()) config.advertise = config.listen;
    Check(config);
    return config;
  }

  std::string Print() const {
    std::string out;
    for (const Option& option : options_) {
      const Value& value = values_.at(option.name);
      out += fmt::format("{:<20} {:<24} # {}\n", FileKey(option.name) + " =",
                         fmt::format("\"{}\"", value.text), value.source);
    }
    return out;
  }

 private:
  static std::optional<std::string> TextOf(const toml::node& node) {
    if (const auto text = node.value_exact<std::string>()) return *text;
    if (const auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
    if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
    if (const toml::array* array = node.as_array()) {
      std::string joined;
      for (const toml::node& element : *array) {
        const auto text = element.value_exact<std::string>();
        if (!text) return std::nullopt;
        joined += (joined.empty() ? "" : ",") + *text;
      }
      return joined;
    }
    return std::nullopt;
  }

  void Require(bool good, const std::string& name, const std::string& message) {
    if (!good) mistakes_.push_back(fmt::format("{}: {}: {}", values_[name].source, name, message));
  }

  // What fits each by itself may not fit together.
  void Check(const Config& config) {
    using std::chrono::milliseconds;
    for (const char* name : {"listen", "http-listen"}) {
      const std::string& address =
          std::string(name) == "listen" ? config.listen : config.http_listen;
      Require(address.rfind(':') != std::string::npos, name,
              fmt::format("`{}` has no port: write HOST:PORT", address));
    }
    Require(!std::string_view(config.advertise).starts_with("0.0.0.0:") &&
                !std::string_view(config.advertise).starts_with("[::]:"),
            "advertise",
            fmt::format("nobody can dial `{}`: name the address that others reach this node at",
                        config.advertise));
    Require(config.heartbeat_interval >= milliseconds(1), "heartbeat-interval",
            "must be at least 1ms");
    Require(config.election_timeout >= 2 * config.heartbeat_interval, "election-timeout",
            "must be at least twice the heartbeat interval");
    Require(config.election_timeout >= milliseconds(15), "election-timeout",
            "must be at least 15ms");
    Require(config.request_timeout > Duration(0), "request-timeout", "must be above 0");
    Require(config.wal_segment >= (1 << 20), "wal-segment", "must be at least 1MiB");
    Require(config.bootstrap_expect > 0 || !config.join.empty() || !mistakes_.empty(), "join",
            "a node needs others to join, or --bootstrap-expect to found a cluster with (1 for a "
            "cluster of its own)");
    Require(config.bootstrap_expect <= 1 || !config.join.empty(), "join",
            "a cluster of several nodes needs addresses to find them by");
  }

  std::vector<Option> options_;
  std::map<std::string, Value> values_;
  std::vector<std::string> mistakes_;
};

}  // namespace

ConfigResult LoadConfig(const std::vector<std::string>& arguments,
                        const std::map<std::string, std::string>& environment,
                        const std::string& version) {
  ConfigResult result;
  Loader loader;
  CLI::App app{
      "kvd: one node of a Flotilla cluster.\n\nOptions come from --config FILE, then "
      "FLOTILLA_* variables (FLOTILLA_DATA_DIR), then flags; the later wins."};
  app.name("kvd");
  app.set_version_flag("--version", version);
  std::string file;
  if (const auto found = environment.find("FLOTILLA_CONFIG"); found != environment.end()) {
    file = found->second;
  }
  bool print = false;
  bool check = false;
  app.add_option("--config", file, "TOML file")->type_name("PATH");
  app.add_flag("--print-config", print, "say what holds and where each value came from");
  app.add_flag("--check-config", check, "report all mistakes and exit");
  std::map<std::string, std::vector<std::string>> flags;
  for (const Option& option : loader.options()) {
    app.add_option("--" + option.name, flags[option.name],
                   fmt::format("{}{}", option.help,
                               option.fallback.empty() ? "" : " [" + option.fallback + "]"))
        ->type_name(option.kind)
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all();
  }
  // CLI11 takes the arguments last first.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    result.action = ConfigResult::Action::kExit;
    result.text = app.help();
    return result;
  } catch (const CLI::CallForVersion&) {
    result.action = ConfigResult::Action::kExit;
    result.text = version + "\n";
    return result;
  } catch (const CLI::ParseError& error) {
    result.mistakes.push_back(fmt::format("{}; see `kvd --help`", error.what()));
    return result;
  }
  if (!file.empty()) loader.ReadFile(file);
  loader.ReadEnvironment(environment);
  for (const auto& [name, given] : flags) {
    if (given.empty()) continue;
    loader.Set(name, name == "join" ? fmt::format("{}", fmt::join(given, ",")) : given.back(),
               "--" + name);
  }
  result.config = loader.Finish();
  result.mistakes = loader.mistakes();
  if (print) {
    result.action = ConfigResult::Action::kPrintConfig;
    result.text = loader.Print();
  } else if (check) {
    result.action = ConfigResult::Action::kCheckConfig;
  }
  return result;
}

}  // namespace flotilla
