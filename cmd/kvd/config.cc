#include "cmd/kvd/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <set>

#include "cmd/kvd/config_options.h"

namespace flotilla {
namespace {

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

// As TOML writes it between quotes.
std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

struct Value {
  std::string text;
  std::string source;
};

class Loader {
 public:
  Loader() : options_(ConfigOptions()) {
    for (const ConfigOption& option : options_) values_[option.name] = {option.fallback, "default"};
  }

  const std::vector<ConfigOption>& options() const { return options_; }
  std::vector<std::string>& mistakes() { return mistakes_; }

  void ReadFile(const std::string& path) {
    if (!std::ifstream(path)) {
      mistakes_.push_back(fmt::format("{}: cannot be read: is --config right?", path));
      return;
    }
    toml::table table;
    try {
      table = toml::parse_file(path);
    } catch (const toml::parse_error& error) {
      mistakes_.push_back(fmt::format("{}:{}:{}: {}", path, error.source().begin.line,
                                      error.source().begin.column, error.description()));
      return;
    }
    std::vector<std::string> known;
    known.reserve(options_.size());
    for (const ConfigOption& option : options_) known.push_back(option.FileKey());
    for (const auto& [key, node] : table) {
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
        mistakes_.push_back(fmt::format(
            "{}: `{}` takes a text in quotes, a whole number, true or false", where, name));
        continue;
      }
      Set(options_[static_cast<std::size_t>(found - known.begin())].name, *text, where);
    }
  }

  void ReadEnvironment(const std::map<std::string, std::string>& environment) {
    std::vector<std::string> known{"FLOTILLA_CONFIG"};
    for (const ConfigOption& option : options_) known.push_back(option.Variable());
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
    for (const ConfigOption& option : options_) {
      const Value& value = values_[option.name];
      if (const Status status = option.assign(config, value.text); !status.ok()) {
        mistaken_.insert(option.name);
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
    for (const ConfigOption& option : options_) {
      const Value& value = values_.at(option.name);
      out += fmt::format("{:<20} {:<24} # {}\n", option.FileKey() + " =",
                         fmt::format("\"{}\"", Escaped(value.text)), value.source);
    }
    return out;
  }

 private:
  static std::optional<std::string> TextOf(const toml::node& node) {
    if (auto text = node.value_exact<std::string>()) return text;
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

  // Reports at the place of the first of `names`; nothing when one of them is mistaken by itself.
  void Require(bool good, std::initializer_list<const char*> names, const std::string& message) {
    if (good) return;
    for (const char* name : names) {
      if (mistaken_.contains(name)) return;
    }
    const char* const name = *names.begin();
    mistakes_.push_back(fmt::format("{}: {}: {}", values_[name].source, name, message));
  }

  void RequireAddress(const std::string& address, const char* name) {
    if (address.empty()) return;
    std::uint32_t port = 0;
    const std::size_t colon = address.rfind(':');
    const bool divided = colon != std::string::npos && colon > 0;
    const char* const end = address.data() + address.size();
    bool good = divided && colon + 1 < address.size();
    if (good) {
      const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, port);
      good = error == std::errc() && rest == end && port > 0 && port <= 65535;
    }
    Require(good, {name}, fmt::format("`{}` has no port: write HOST:PORT", address));
  }

  // What fits each by itself may not fit together.
  void Check(const Config& config) {
    using std::chrono::milliseconds;
    Require(!config.data_dir.empty(), {"data-dir"}, "names no directory");
    Require(!config.listen.empty(), {"listen"}, "is empty: write HOST:PORT");
    Require(!config.http_listen.empty(), {"http-listen"}, "is empty: write HOST:PORT");
    RequireAddress(config.listen, "listen");
    RequireAddress(config.http_listen, "http-listen");
    if (!values_["advertise"].text.empty()) RequireAddress(config.advertise, "advertise");
    for (const std::string& address : config.join) RequireAddress(address, "join");
    Require(config.listen != config.http_listen || config.listen.empty(), {"http-listen", "listen"},
            fmt::format("`{}` is --listen already: choose another port", config.http_listen));
    const bool everywhere =
        config.advertise.starts_with("0.0.0.0:") || config.advertise.starts_with("[::]:");
    const char* const dialled = values_["advertise"].text.empty() ? "listen" : "advertise";
    Require(!everywhere, {dialled},
            fmt::format("nobody can dial `{}`: name with --advertise the address that others "
                        "reach this node at",
                        config.advertise));
    Require(config.heartbeat_interval >= milliseconds(1), {"heartbeat-interval"},
            "must be at least 1ms");
    Require(config.election_timeout >= 2 * config.heartbeat_interval,
            {"election-timeout", "heartbeat-interval"},
            "must be at least twice the heartbeat interval");
    Require(config.election_timeout >= milliseconds(15), {"election-timeout"},
            "must be at least 15ms");
    Require(config.request_timeout > Duration(0), {"request-timeout"}, "must be above 0");
    Require(config.wal_segment >= (1 << 20), {"wal-segment"}, "must be at least 1MiB");
    Require(config.weight == 0 || (config.weight >= 20 && config.weight <= 1000), {"weight"},
            "must be 0, or 20 to 1000");
    Require(config.replace_after >= std::chrono::seconds(10), {"replace-after"},
            "must be at least 10s: a node is taken for dead after that");
    Require(config.split_size >= (1 << 20), {"split-size"}, "must be at least 1MiB");
    Require(config.compaction_rate == 0 || config.compaction_rate >= (1 << 20), {"compaction-rate"},
            "must be 0, or at least 1MiB");
    Require(config.snapshot_rate >= (1 << 20), {"snapshot-rate"}, "must be at least 1MiB");
    Require(config.split_load >= 100, {"split-load"}, "must be at least 100");
    Require(config.vacuum_threshold > 0, {"vacuum-threshold"}, "must be above 0");
    Require(config.vacuum_age >= std::chrono::seconds(1), {"vacuum-age"}, "must be at least 1s");
    Require(config.requests_max > 0, {"requests-max"}, "must be above 0");
    Require(config.bootstrap_expect > 0 || !config.join.empty(), {"join", "bootstrap-expect"},
            "a node needs others to join, or --bootstrap-expect to found a cluster with (1 for a "
            "cluster of its own)");
    Require(config.bootstrap_expect <= 1 || !config.join.empty(), {"join", "bootstrap-expect"},
            "a cluster of several nodes needs addresses to find them by");
  }

  std::vector<ConfigOption> options_;
  std::map<std::string, Value> values_;
  std::vector<std::string> mistakes_;
  std::set<std::string> mistaken_;  // options whose own value is bad
};

// CLI11 leaves what it does not know; a value that follows an unknown flag is the flag's.
void ReportUnknown(const std::vector<std::string>& arguments, Loader& loader) {
  std::vector<std::string> known{"--config", "--print-config", "--check-config", "--help",
                                 "--version"};
  for (const ConfigOption& option : loader.options()) known.push_back("--" + option.name);
  bool after_flag = false;
  for (const std::string& argument : arguments) {
    if (argument.starts_with("-")) {
      const std::string name = argument.substr(0, argument.find('='));
      loader.mistakes().push_back(
          fmt::format("{}: unknown flag{}; see `kvd --help`", name, Suggestion(name, known)));
    } else if (!after_flag) {
      loader.mistakes().push_back(
          fmt::format("`{}`: no argument is expected here; see `kvd --help`", argument));
    }
    after_flag = argument.starts_with("-") && argument.find('=') == std::string::npos;
  }
}

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
  app.allow_extras();
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
  for (const ConfigOption& option : loader.options()) {
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
  ReportUnknown(app.remaining(), loader);
  if (!file.empty()) loader.ReadFile(file);
  loader.ReadEnvironment(environment);
  for (const auto& [name, given] : flags) {
    if (given.empty()) continue;
    const auto option = std::find_if(loader.options().begin(), loader.options().end(),
                                     [&](const ConfigOption& one) { return one.name == name; });
    loader.Set(name, option->IsList() ? fmt::format("{}", fmt::join(given, ",")) : given.back(),
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
