#include "tests/sim/simulation.h"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/logger.h"
#include "tests/sim/administrator.h"
#include "tests/sim/climate.h"
#include "tests/sim/list_load.h"
#include "tests/sim/long_reader.h"
#include "tests/sim/marker_watch.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/operator.h"
#include "tests/sim/ownership_watch.h"
#include "tests/sim/raft_watch.h"
#include "tests/sim/shards_check.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/timestamp_watch.h"
#include "tests/sim/txn_load.h"
#include "tests/sim/workload.h"

namespace flotilla::sim {
namespace {

// After healing the cluster must answer, and agree, within this long.
constexpr Duration kProgressWithin = std::chrono::seconds(15);
// So long after healing all changes of members must have ended that were under way.
constexpr Duration kMembersWithin = std::chrono::seconds(60);
// And all jobs.
constexpr Duration kJobsWithin = std::chrono::seconds(30);
// The balancer is at work until then.
constexpr Duration kOrderWithin = std::chrono::seconds(60);
constexpr int kClients = 4;
constexpr int kKeysOfSharded = 8;
// Machines for nodes that join later.
constexpr int kSpares = 2;
constexpr Duration kSlice = std::chrono::milliseconds(100);
constexpr Duration kKeepAlive = std::chrono::milliseconds(500);

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        random_(options.seed),
        climate_(DrawClimate(random_, options.nodes, options.sharded)),
        loop_(options.trace_file),
        network_(&loop_, random_.Fork()),
        ownership_(&loop_),
        cluster_(ClusterOptions(), &loop_, &network_),
        timestamps_(&loop_, &cluster_, random_.Next()),
        workload_(
            WorkloadOptions(), &loop_, &network_,
            [this](const std::string& address) { return cluster_.Find(address); }, &timestamps_,
            &snapshots_),
        operator_({.seed = random_.Next(),
                   .changes = options.faults && climate_.membership_changes,
                   .between_changes_max = climate_.between_changes_max,
                   .hasty = climate_.hasty_changes,
                   .cut_off = [this](int node) { nemesis_.CutOff(node); }},
                  &loop_, &cluster_),
        nemesis_({.seed = random_.Next(), .clients = kClients, .climate = climate_}, &loop_,
                 &cluster_, &network_, &workload_),
        administrator_({.seed = random_.Next(), .between_max = climate_.between_shard_changes_max},
                       &loop_, &cluster_),
        markers_(&loop_, &cluster_, random_.Next()),
        snapshots_(&loop_, &cluster_, Keyspaces(), random_.Next()),
        transactions_(&loop_, &cluster_, Keyspaces(), random_.Next()),
        lists_(&loop_, &cluster_, Keyspaces(), random_.Next()),
        long_reader_(&loop_, &cluster_, Keyspaces()) {
    if (climate_.quiesce_after > Duration(0)) network_.SetKeepAlive(kKeepAlive);
    network_.SetObserver([this](const raft::PeerMessage& message, std::uint64_t life) {
      watch_.Note(message, life);
    });
  }

  // While those live whom the nodes may still answer.
  ~Simulation() { cluster_.CrashAll(); }

  SimulationResult Run() {
    for (int node = 0; node < options_.nodes; ++node) cluster_.Start(node);
    if (!Await("a cluster to form", [this] { return AllReady(); })) return Result();
    bool retention_set = false;
    cluster_.node(0)->ChangeDirectory(
        AlterKeyspaceCall{.name = "default",
                          .retention = std::chrono::milliseconds(climate_.retention_ms)},
        loop_.now() + kProgressWithin,
        [&](const DirectoryAnswer& answer) { retention_set = answer.status.ok(); });
    if (!Await("the retention to be set", [&] { return retention_set; })) return Result();
    if (climate_.sharded && !MakeShards()) return Result();
    workload_.Start();
    timestamps_.Start();
    snapshots_.Start();
    transactions_.Start();
    lists_.Start();
    operator_.Start();
    if (options_.faults) nemesis_.Start();
    if (climate_.sharded) administrator_.Start();
    const MonoTime end = loop_.now() + options_.time;
    while (loop_.now() < end && failure_.empty()) {
      loop_.RunFor(kSlice);
      NoteFailure();
    }
    if (failure_.empty()) Heal();
    if (failure_.empty()) CheckHistory();
    if (failure_.empty()) failure_ = ownership_.Check();
    return Result();
  }

 private:
  SimCluster::Options ClusterOptions() {
    SimCluster::Options options;
    options.founders = options_.nodes;
    options.spares = kSpares;
    options.seed = random_.Next();
    options.apply_stalls = climate_.apply_stalls;
    options.syncs_take_their_time = climate_.syncs_take_their_time;
    options.logger =
        options_.verbose ? MakeLogger("sim", LogFormat::kText, spdlog::level::debug) : NullLogger();
    if (options_.sharded) {
      options.before_gateway = [this](Gateway* gateway) { return ownership_.Before(gateway); };
      options.on_start = [this](int node) {
        cluster_.node(node)->WatchDirectory([this, node] {
          const std::shared_ptr<const DirectoryImage> image = cluster_.node(node)->DirectoryView();
          ownership_.Note(*image);
          watch_.Note(*image);
        });
      };
    }
    Apply(climate_, options.node);
    return options;
  }

  Workload::Options WorkloadOptions() {
    Workload::Options options;
    options.clients = kClients;
    options.nodes = options_.nodes + kSpares;
    options.think_max = climate_.think_max;
    options.value_bytes_max = climate_.value_bytes_max;
    if (climate_.leases) options.reads_open_max = 8;
    if (climate_.sharded) {
      for (const KeyspaceSpec& spec : Administrator::FirstKeyspaces()) {
        options.keyspaces.push_back({.name = spec.name, .keys = kKeysOfSharded});
      }
    }
    options.seed = random_.Next();
    return options;
  }

  std::vector<std::string> Keyspaces() const {
    std::vector<std::string> names{""};
    if (climate_.sharded) {
      for (const KeyspaceSpec& spec : Administrator::FirstKeyspaces()) names.push_back(spec.name);
    }
    return names;
  }

  // What is there before anything goes wrong.
  bool MakeShards() {
    administrator_.MakeKeyspaces();
    if (!Await("keyspaces to be made", [this] { return administrator_.ready(); })) return false;
    for (const kv::KeyspaceId keyspace : administrator_.keyspaces()) markers_.Mark(keyspace);
    if (!Await("markers to be written", [this] { return markers_.marked(); })) return false;
    markers_.Start();
    return true;
  }

  bool AllReady() const {
    for (int node = 0; node < cluster_.size(); ++node) {
      if (!cluster_.in_use(node)) continue;
      if (!cluster_.running(node) || !cluster_.node(node)->Ready()) return false;
    }
    return true;
  }

  void NoteFailure() {
    if (failure_.empty()) failure_ = cluster_.failure();
    if (failure_.empty()) failure_ = watch_.failure();
    if (failure_.empty()) failure_ = timestamps_.failure();
    if (failure_.empty()) failure_ = markers_.failure();
    if (failure_.empty()) failure_ = snapshots_.failure();
    if (failure_.empty()) failure_ = transactions_.failure();
    if (failure_.empty()) failure_ = long_reader_.failure();
  }

  // Nodes hear of a transaction before anything goes that it reads, and it may hold that up.
  bool ReadersAreKept() const {
    return climate_.vacuum.unheard_max >= std::chrono::seconds(4) &&
           climate_.vacuum.hold_max >= std::chrono::seconds(60);
  }

  template <class Condition>
  bool Await(const std::string& what, Condition condition, Duration within = kProgressWithin) {
    const MonoTime end = loop_.now() + within;
    while (failure_.empty() && !condition()) {
      if (loop_.now() >= end) {
        failure_ = fmt::format("no progress: waited {} s for {}{}",
                               static_cast<double>(within.count()) / 1e9, what,
                               administrator_.Describe() + disorder_ + operator_.Describe());
      }
      loop_.RunFor(kSlice);
      NoteFailure();
    }
    return failure_.empty();
  }

  // Safety was tested under faults; now things must get better.
  void Heal() {
    nemesis_.Heal();
    operator_.End();
    administrator_.End();
    if (!Await(
            "changes of members to end after healing", [this] { return operator_.Settled(); },
            kMembersWithin) ||
        !Await("all nodes to be ready after healing", [this] { return AllReady(); }) ||
        !Await(
            "jobs to end after healing", [this] { return administrator_.Settled(); },
            kJobsWithin)) {
      return;
    }
    const std::uint64_t taken = timestamps_.answers();
    if (!Await("timestamps after healing", [&] { return timestamps_.answers() > taken + 20; })) {
      return;
    }
    timestamps_.End();
    const std::uint64_t before = workload_.answered();
    if (!Await("operations to succeed after healing",
               [&] { return workload_.answered() > before + 20; })) {
      return;
    }
    // Where nothing is kept, hardly anything can be read again.
    const std::uint64_t compared = snapshots_.compared();
    if (climate_.retention_ms > 0 && !Await("snapshots to be read again after healing",
                                            [&] { return snapshots_.compared() > compared + 2; })) {
      return;
    }
    const std::uint64_t committed = transactions_.committed();
    if (!Await("transactions to commit after healing",
               [&] { return transactions_.committed() > committed + 10; })) {
      return;
    }
    if (ReadersAreKept()) {
      long_reader_.Start();
      if (!Await(
              "a long transaction to read on", [this] { return long_reader_.done(); },
              kOrderWithin)) {
        return;
      }
    }
    transactions_.End();
    lists_.End();
    if (!Await("transactions to end", [this] { return transactions_.idle() && lists_.idle(); })) {
      return;
    }
    snapshots_.End();
    workload_.End();
    workload_.ReadAll();
    if (!Await("open operations to end", [this] { return workload_.under_way() == 0; })) return;
    if (!Await("locks to go", [this] { return NoLocks(); })) return;
    markers_.End();
    if (!Await("shards to be in order", [this] { return ShardsInOrder(); }, kOrderWithin)) {
      return;
    }
    if (!Await("replicas to agree", [this] { return ReplicasAgree(); }, kOrderWithin)) return;
    CountVacuums();
  }

  // Of those processes that live to the end.
  void CountVacuums() {
    for (int node = 0; node < cluster_.size(); ++node) {
      if (!cluster_.running(node)) continue;
      cluster_.node(node)->Info([counts = counts_](const NodeInfo& info) {
        for (const GroupInfo& group : info.groups) {
          counts->vacuums += group.vacuum.runs;
          counts->collected += group.counts.versions_collected;
        }
      });
    }
    loop_.RunFor(kSlice);
  }

  // Nothing of a transaction is left anywhere.
  bool NoLocks() {
    auto locks = std::make_shared<std::uint64_t>(0);
    for (int node = 0; node < cluster_.size(); ++node) {
      if (!cluster_.running(node)) continue;
      cluster_.node(node)->Info([locks](const NodeInfo& info) {
        for (const GroupInfo& group : info.groups) *locks += group.counts.locks;
      });
    }
    loop_.RunFor(kSlice);
    return *locks == 0;
  }

  bool ShardsInOrder() {
    disorder_ = FindDisorder(*administrator_.View(), loop_, cluster_);
    return disorder_.empty();
  }

  // Asks all for their state; true when all are at one index. Equal indexes with different states
  // are the failure that this looks for.
  bool ReplicasAgree() {
    bool agree = ReplicasAgree(kDirectoryGroup);
    const std::shared_ptr<const DirectoryImage> image = administrator_.View();
    for (const auto& [group, shard] : image->shards()) agree &= ReplicasAgree(group);
    return agree;
  }

  bool ReplicasAgree(GroupId group) {
    auto hashes = std::make_shared<std::map<int, std::pair<raft::Index, std::uint64_t>>>();
    auto away = std::make_shared<std::size_t>(0);
    std::size_t asked = 0;
    for (int node = 0; node < cluster_.size(); ++node) {
      if (!cluster_.running(node)) continue;
      ++asked;
      cluster_.node(node)->StateHash(
          group, [hashes, away, node](StatusOr<std::pair<raft::Index, std::uint64_t>> state) {
            if (state.ok()) (*hashes)[node] = *state;
            *away += ReasonOf(state.status()) == Reason::kGroupNotFound;
          });
    }
    loop_.RunFor(kSlice);
    std::map<raft::Index, std::uint64_t> by_index;
    for (const auto& [node, state] : *hashes) {
      const auto [known, inserted] = by_index.emplace(state);
      if (known->second != state.second) {
        failure_ = fmt::format("replicas of group {} differ at applied index {}", group.value(),
                               state.first.value());
      }
    }
    return hashes->size() + *away == asked && by_index.size() == 1;
  }

  void CheckHistory() {
    failure_ = lists_.Check();
    if (failure_.empty()) failure_ = transactions_.Check();
    if (!failure_.empty()) return;
    for (const auto& [key, operations] : workload_.history().ByKey()) {
      switch (CheckRegister(operations)) {
        case Verdict::kLinearizable:
          break;
        case Verdict::kNotLinearizable:
          failure_ = fmt::format("the history of {} is not linearizable\n    {}", key,
                                 FirstContradiction(operations));
          return;
        case Verdict::kTooHard:
          failure_ = fmt::format("the history of {} is too hard to check", key);
          return;
      }
    }
  }

  SimulationResult Result() {
    for (int node = 0; node < cluster_.size(); ++node) {
      loop_.Trace(cluster_.disk(node).trace_hash());
    }
    SimulationResult result;
    result.failure = failure_;
    result.trace_hash = loop_.trace_hash();
    result.events = loop_.events();
    result.operations = workload_.history().size();
    result.answered = workload_.answered();
    result.time = loop_.now().time_since_epoch();
    result.rare.leaders = watch_.leaders();
    result.rare.timestamps = timestamps_.answers();
    result.rare.rejections = watch_.rejections();
    result.rare.snapshots = watch_.snapshots();
    result.rare.member_changes = operator_.changes();
    result.rare.stopped_themselves = static_cast<std::uint64_t>(cluster_.stopped_themselves());
    result.rare.refused_for_room = workload_.refused_for_room();
    result.rare.jobs = administrator_.JobsDone();
    result.rare.passes = markers_.passes();
    result.rare.snapshot_reads = snapshots_.compared();
    result.rare.transactions = transactions_.committed();
    result.rare.totals = transactions_.totals();
    result.rare.lists = lists_.committed();
    result.rare.vacuums = counts_->vacuums;
    result.rare.collected = counts_->collected;
    result.rare.long_reads = long_reader_.looks();
    return result;
  }

  const SimulationOptions options_;
  Random random_;
  const Climate climate_;
  RaftWatch watch_;
  EventLoop loop_;
  SimNetwork network_;
  OwnershipWatch ownership_;
  SimCluster cluster_;
  TimestampWatch timestamps_;
  Workload workload_;
  Operator operator_;
  Nemesis nemesis_;
  Administrator administrator_;
  MarkerWatch markers_;
  SnapshotWatch snapshots_;
  TxnLoad transactions_;
  ListLoad lists_;
  LongReader long_reader_;
  const std::shared_ptr<RareEvents> counts_ = std::make_shared<RareEvents>();
  std::string disorder_;
  std::string failure_;
};

}  // namespace

RareEvents& RareEvents::operator+=(const RareEvents& other) {
  leaders += other.leaders;
  timestamps += other.timestamps;
  rejections += other.rejections;
  snapshots += other.snapshots;
  member_changes += other.member_changes;
  stopped_themselves += other.stopped_themselves;
  refused_for_room += other.refused_for_room;
  jobs += other.jobs;
  passes += other.passes;
  snapshot_reads += other.snapshot_reads;
  transactions += other.transactions;
  totals += other.totals;
  lists += other.lists;
  vacuums += other.vacuums;
  collected += other.collected;
  long_reads += other.long_reads;
  return *this;
}

SimulationResult RunSimulation(const SimulationOptions& options) {
  return Simulation(options).Run();
}

}  // namespace flotilla::sim
