// The load generator behind `./dev bench`: see README.md. run.sh starts the servers.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>

#include "base/real_executor.h"
#include "tests/bench/load.h"
#include "tests/bench/report.h"

namespace flotilla::bench {
namespace {

struct Flags {
  std::vector<std::string> flotilla;
  std::vector<std::string> etcd;
  std::vector<int> flotilla_pids;
  std::vector<int> etcd_pids;
  std::vector<std::string> ops = {"put", "get", "stale_get", "mixed", "scan100", "cas"};
  std::vector<std::uint32_t> outstanding = {1, 16, 64, 256, 1000};
  std::vector<std::string> apis = {"batch", "unary"};
  double seconds = 4;
  double warm_up = 0.5;
  std::uint32_t keys = 100'000;
  int connections = 4;
  bool quick = false;
  std::string keyspace;
  std::string json;
  std::string picture;
};

// One system under load, and whose processes to charge.
struct Contender {
  std::unique_ptr<System> system;
  std::vector<int> pids;
};

Duration Seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

Status OpenAll(const Flags& flags, std::vector<Contender>& contenders) {
  const auto wants = [&](std::string_view api) {
    return std::find(flags.apis.begin(), flags.apis.end(), api) != flags.apis.end();
  };
  if (!flags.flotilla.empty() && wants("batch")) {
    ASSIGN_OR_RETURN(auto system, OpenFlotillaBatch(flags.flotilla, flags.keyspace));
    contenders.push_back({std::move(system), flags.flotilla_pids});
  }
  if (!flags.flotilla.empty() && wants("unary")) {
    ASSIGN_OR_RETURN(auto system, OpenFlotillaUnary(flags.flotilla, flags.connections));
    contenders.push_back({std::move(system), flags.flotilla_pids});
  }
  if (!flags.etcd.empty()) {
    ASSIGN_OR_RETURN(auto system, OpenEtcd(flags.etcd, flags.connections));
    contenders.push_back({std::move(system), flags.etcd_pids});
  }
  return absl::OkStatus();
}

Status Run(const Flags& flags) {
  RealClock clock;
  RealExecutor executor(1);
  std::vector<Contender> contenders;
  RETURN_IF_ERROR(OpenAll(flags, contenders));
  std::string_view loaded;
  for (const Contender& contender : contenders) {
    if (contender.system->name() == loaded) continue;
    loaded = contender.system->name();
    fmt::print(stderr, "loading {} keys into {}\n", flags.keys, loaded);
    RETURN_IF_ERROR(Preload(*contender.system, flags.keys, executor, clock));
  }
  fmt::print(stderr, "loaded\n");
  std::vector<Row> rows;
  Status failed;
  // The systems take turns within each row, so that what the machine does besides meets all alike;
  // while one is under load the others are idle.
  for (const std::string& op : flags.ops) {
    for (const std::uint32_t outstanding : flags.outstanding) {
      for (const Contender& contender : contenders) {
        if (op.starts_with("txn") && contender.system->api() == "unary" &&
            contender.system->name() == "flotilla") {
          continue;
        }
        LoadOptions load;
        load.op = op;
        load.outstanding = outstanding;
        load.keys = flags.keys;
        load.warm_up = Seconds(flags.warm_up);
        load.duration = Seconds(flags.seconds);
        load.server_pids = contender.pids;
        load.seed = outstanding;
        auto row = RunLoad(*contender.system, load, executor, clock);
        if (!row.ok()) {
          fmt::print(stderr, "error: {}\n", MessageOf(row.status()));
          failed = row.status();
          continue;
        }
        fmt::print(stderr, "{}\n", ToJson(*row));
        rows.push_back(*std::move(row));
      }
    }
  }
  fmt::print("{}", ToTable(rows));
  if (!flags.json.empty()) {
    std::ofstream file(flags.json);
    for (const Row& row : rows) file << ToJson(row) << "\n";
    if (!file.flush()) return Error(Reason::kInternal, "cannot write " + flags.json);
  }
  if (!flags.picture.empty()) {
    std::ofstream file(flags.picture);
    file << ToSvg(rows);
    if (!file.flush()) return Error(Reason::kInternal, "cannot write " + flags.picture);
    fmt::print("picture: {}\n", flags.picture);
  }
  executor.Stop();
  return failed;
}

}  // namespace
}  // namespace flotilla::bench

int main(int argc, char** argv) {
  flotilla::bench::Flags flags;
  CLI::App app("Drives Flotilla and etcd with the same load, in turn, and compares them.");
  app.add_option("--flotilla", flags.flotilla, "endpoints of Flotilla's nodes")->delimiter(',');
  app.add_option("--etcd", flags.etcd, "endpoints of etcd's members")->delimiter(',');
  app.add_option("--flotilla-pids", flags.flotilla_pids, "their processes")->delimiter(',');
  app.add_option("--etcd-pids", flags.etcd_pids, "their processes")->delimiter(',');
  app.add_option("--ops", flags.ops,
                 "put,get,stale_get,mixed,scan100,cas; of Flotilla by batch and etcd: "
                 "txn,txn_one,txn_two")
      ->delimiter(',')
      ->check(CLI::IsMember(
          {"put", "get", "stale_get", "mixed", "scan100", "cas", "txn", "txn_one", "txn_two"}));
  const auto* outstanding =
      app.add_option("--outstanding", flags.outstanding, "requests in flight")->delimiter(',');
  app.add_option("--apis", flags.apis, "of Flotilla: batch,unary")->delimiter(',');
  const auto* seconds = app.add_option("--seconds", flags.seconds, "measured, per row");
  const auto* warm_up = app.add_option("--warm-up", flags.warm_up, "seconds before, per row");
  app.add_option("--keyspace", flags.keyspace, "of Flotilla, by batch; default: default");
  app.add_option("--keys", flags.keys, "loaded before")->check(CLI::Range(1001, 10'000'000));
  app.add_option("--connections", flags.connections, "of unary calls, to the leader");
  app.add_flag("--quick", flags.quick, "fewer and shorter rows: under three minutes in all");
  app.add_option("--json", flags.json, "write one object per row to this file");
  app.add_option("--picture", flags.picture, "write a picture (SVG) to this file");
  CLI11_PARSE(app, argc, argv);
  if (flags.quick) {
    if (outstanding->count() == 0) flags.outstanding = {1, 64, 256};
    if (seconds->count() == 0) flags.seconds = 1.5;
    if (warm_up->count() == 0) flags.warm_up = 0.3;
  }
  const flotilla::Status status = flotilla::bench::Run(flags);
  if (status.ok()) return 0;
  fmt::print(stderr, "error: {}\n", flotilla::MessageOf(status));
  return 1;
}
