#include "tests/sim/nemesis.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace flotilla::sim {
namespace {

constexpr std::uint32_t kStrike = 40;
constexpr Duration kResumeJitter = std::chrono::milliseconds(50);
// Members are learners for a moment only.
constexpr Duration kLearnerWithin = std::chrono::seconds(8);
constexpr Duration kLearnerPoll = std::chrono::milliseconds(10);
// Longer than a voter waits for its leader.
constexpr Duration kSuccessorWithin = std::chrono::seconds(3);
constexpr Duration kClientsTurnWithin = std::chrono::milliseconds(1500);
constexpr Duration kWritesEndWithin = std::chrono::milliseconds(200);
constexpr Duration kSuccessorPoll = std::chrono::milliseconds(1);

bool LeadsALearner(const GroupInfo& group) {
  return group.core.role == raft::Role::kLeader &&
         std::any_of(group.members.begin(), group.members.end(),
                     [](const MemberInfo& member) { return !member.voter; });
}

}  // namespace

Nemesis::Nemesis(const Options& options, EventLoop* loop, SimCluster* cluster, SimNetwork* network,
                 Workload* workload)
    : options_(options),
      loop_(loop),
      cluster_(cluster),
      network_(network),
      workload_(workload),
      random_(options.seed),
      disks_(cluster, random_.Fork(),
             [this](Duration max, Closure closure) { Later(max, std::move(closure)); }),
      weights_sum_(std::accumulate(options.climate.weights.begin(), options.climate.weights.end(),
                                   std::uint64_t{0})) {}

void Nemesis::Start() {
  for (int node = 0; node < cluster_->size(); ++node) SetClocks(node);
  Next();
}

void Nemesis::Later(Duration max, Closure closure) {
  After(Duration(
            static_cast<std::int64_t>(random_.Below(static_cast<std::uint64_t>(max.count()) + 1))),
        std::move(closure));
}

void Nemesis::After(Duration wait, Closure closure) {
  loop_->At(loop_->now() + wait, kNoProcess, kStrike,
            [this, closure = std::move(closure)]() mutable {
              // What ends a fault has been done by then.
              if (!ended_) closure();
            });
}

void Nemesis::Next() {
  Later(options_.climate.between_faults_max, [this] {
    Strike(Draw());
    Next();
  });
}

Fault Nemesis::Draw() {
  std::uint64_t dice = random_.Below(weights_sum_);
  std::size_t fault = 0;
  while (dice >= options_.climate.weights[fault]) dice -= options_.climate.weights[fault++];
  return static_cast<Fault>(fault);
}

void Nemesis::Strike(Fault fault) {
  switch (fault) {
    case Fault::kCrash:
      return Crash();
    case Fault::kKill:
      return Kill();
    case Fault::kCrashAll:
      return CrashAll();
    case Fault::kUprising:
      return Uprising();
    case Fault::kPartition:
      return Partition();
    case Fault::kOneWay:
      return OneWay();
    case Fault::kIsolateLeader:
      return IsolateLeader();
    case Fault::kPause:
      return Pause();
    case Fault::kSlowDisks:
      return SlowDisks();
    case Fault::kHang:
      return disks_.Hang(random_.Chance(0.5) ? LeaderOrAny() : AnyNode());
    case Fault::kFullDisk:
      return disks_.Fill();
    case Fault::kFailingDisk:
      return disks_.Fail(random_.Chance(0.5) ? LeaderOrAny() : AnyNode());
    case Fault::kStorm:
      return Storm();
    case Fault::kTransfer:
      return Transfer();
    case Fault::kCompact:
      return Compact();
    case Fault::kClocks:
      return Clocks();
    case Fault::kCalm:
      return network_->HealAll();
    case Fault::kCutInMidst:
      return CutInMidst();
    case Fault::kMinority:
      if (!(options_.climate.membership_changes || options_.climate.sharded) ||
          random_.Chance(0.5)) {
        return Overtake();
      }
      return AwaitLearner(loop_->now() + kLearnerWithin, std::make_shared<bool>(false));
    case Fault::kCutInstall:
      return CutInstall();
    case Fault::kDeposition:
      return Deposition();
    case Fault::kCutSplit:
      return CutSplit();
  }
}

// Of the machines in use.
int Nemesis::AnyNode() {
  while (true) {
    const int node = static_cast<int>(random_.Below(static_cast<std::uint64_t>(cluster_->size())));
    if (cluster_->in_use(node)) return node;
  }
}

GroupId Nemesis::AnyGroup() {
  if (!options_.climate.sharded) return kFirstDataGroup;
  const int node = AnyNode();
  if (!cluster_->running(node)) return kFirstDataGroup;
  const std::shared_ptr<const DirectoryImage> image = cluster_->node(node)->DirectoryView();
  if (image->shards().empty()) return kFirstDataGroup;
  const auto at = static_cast<std::ptrdiff_t>(random_.Below(image->shards().size()));
  return std::next(image->shards().begin(), at)->first;
}

int Nemesis::LeaderOrAny(GroupId group) {
  for (int node = 0; node < cluster_->size(); ++node) {
    if (cluster_->Leads(node, group)) return node;
  }
  return AnyNode();
}

void Nemesis::Restart(int node, Duration within) {
  Later(within, [this, node] {
    if (!cluster_->in_use(node)) return;
    // A full disk may turn it away, for now.
    if (!cluster_->Start(node)) Restart(node, std::chrono::seconds(1));
  });
}

// ---- processes ------------------------------------------------------------------------------

void Nemesis::Crash() {
  const int node = AnyNode();
  cluster_->Crash(node);
  Restart(node, std::chrono::seconds(3));
}

void Nemesis::Kill() {
  const int node = random_.Chance(0.3) ? AnyLeader() : AnyNode();
  if (!cluster_->running(node)) return;
  cluster_->Kill(node);
  Restart(node, random_.Chance(0.5) ? std::chrono::milliseconds(50) : std::chrono::seconds(2));
}

void Nemesis::CrashAll() {
  for (int node = 0; node < cluster_->size(); ++node) {
    if (!cluster_->in_use(node)) continue;
    cluster_->Crash(node);
    Restart(node, std::chrono::seconds(1));
  }
}

void Nemesis::CutInMidst() {
  const int node = AnyNode();
  if (!cluster_->running(node)) return;
  // Half of them where names change: what takes several steps is mostly about names.
  const bool names = random_.Chance(0.5);
  cluster_->CutInMidst(node, {.names_only = names, .skip = random_.Below(names ? 12 : 300)});
}

void Nemesis::CutInstall() {
  const int leader = LeaderOrAny();
  const int node = AnyNode();
  if (node == leader || !cluster_->running(node) || !cluster_->running(leader)) return;
  cluster_->CutInMidst(node, {.installs_only = true, .skip = random_.Below(5)});
  for (int other = 0; other < cluster_->size(); ++other) CutBetween(node, other);
  const auto away = std::chrono::milliseconds(random_.Between(500, 2000));
  After(away * 9 / 10, [this, leader] { CompactAt(leader); });
  After(away, [this] { network_->HealAll(); });
}

void Nemesis::CutSplit() {
  const int node = AnyNode();
  if (!cluster_->running(node)) return;
  cluster_->CutInMidst(node, {.splits_only = true, .skip = random_.Below(40)});
}

void Nemesis::Uprising() {
  const auto sync = std::chrono::milliseconds(random_.Between(2, 60));
  for (int node = 0; node < cluster_->size(); ++node) cluster_->SetSyncTime(node, sync);
  NetworkWeather weather;
  weather.late = random_.Unit() * 0.5;
  weather.duplication = random_.Unit() * 0.5;
  weather.late_max = std::chrono::milliseconds(random_.Between(10, 400));
  const bool late = random_.Chance(0.7);
  if (late) network_->SetWeather(weather);
  const int leader = LeaderOrAny();
  cluster_->Crash(leader);
  const std::uint64_t cuts = random_.Between(4, 14);
  for (std::uint64_t cut = 0; cut < cuts; ++cut) {
    Later(std::chrono::milliseconds(1500), [this] {
      const int node = random_.Chance(0.3) ? LeaderOrAny() : AnyNode();
      if (!cluster_->running(node)) return;
      cluster_->Crash(node);
      if (!cluster_->Start(node)) Restart(node, std::chrono::seconds(1));
    });
  }
  Restart(leader, std::chrono::seconds(1));
  Later(std::chrono::seconds(2), [this, late] {
    if (late) network_->SetWeather({});
    for (int node = 0; node < cluster_->size(); ++node) {
      cluster_->SetSyncTime(node, SimCluster::kSyncTime);
    }
  });
}

void Nemesis::Pause() {
  const ProcessId process = SimCluster::IdOf(random_.Chance(0.7) ? AnyLeader() : AnyNode());
  loop_->Pause(process);
  const Duration pause =
      random_.Chance(0.5) ? std::chrono::milliseconds(400) : std::chrono::seconds(3);
  Later(pause, [this, process] { loop_->Resume(process, kResumeJitter); });
}

void Nemesis::SlowDisks() {
  const bool power_goes = random_.Chance(0.6);
  disks_.Slow([this, power_goes] {
    if (power_goes) CrashAll();
  });
}

// ---- the network ----------------------------------------------------------------------------

void Nemesis::IsolateLeader() {
  const int leader = AnyLeader();
  for (int node = 0; node < cluster_->size(); ++node) CutBetween(leader, node);
  CutSomeClients(leader);
  Later(std::chrono::seconds(2), [this] { network_->HealAll(); });
}

void Nemesis::Deposition() {
  const GroupId group = AnyGroup();
  const int leader = LeaderOrAny(group);
  const int deaf = AnyNode();
  if (deaf == leader) return;
  // These have turned to others by then, who will know of a successor at once.
  CutSomeClients(leader);
  After(kClientsTurnWithin, [this] { workload_->SetWriting(false); });
  After(kClientsTurnWithin + kWritesEndWithin, [this, group, leader, deaf] {
    CutBetween(leader, deaf);
    AwaitSuccessor(group, leader, loop_->now() + kSuccessorWithin);
  });
}

void Nemesis::AwaitSuccessor(GroupId group, int leader, MonoTime until) {
  const bool succeeded = Succeeded(group, leader);
  if (!succeeded && loop_->now() <= until) {
    return After(kSuccessorPoll,
                 [this, group, leader, until] { AwaitSuccessor(group, leader, until); });
  }
  workload_->SetWriting(true);
  if (succeeded) {
    CutOff(leader);  // before it hears of it, if that is to be
  } else {
    network_->HealAll();
  }
}

bool Nemesis::Succeeded(GroupId group, int leader) const {
  for (int node = 0; node < cluster_->size(); ++node) {
    if (node != leader && cluster_->Leads(node, group)) return true;
  }
  return false;
}

void Nemesis::CutOff(int node) {
  for (int other = 0; other < cluster_->size(); ++other) {
    if (other != node) CutBetween(node, other);
  }
  Later(std::chrono::milliseconds(1500), [this] { network_->HealAll(); });
}

void Nemesis::Overtake() {
  const int leader = LeaderOrAny();
  for (int node = 0; node < cluster_->size(); ++node) {
    network_->Cut(SimCluster::IdOf(leader), SimCluster::IdOf(node));
  }
  // Time enough for another leader, whose first entry arrives while the old one's are written.
  const auto sync = std::chrono::milliseconds(random_.Between(450, 1200));
  cluster_->SetSyncTime(leader, sync);
  After(sync * 9 / 10, [this] { network_->HealAll(); });
  After(sync * random_.Between(105, 200) / 100, [this, leader] {
    cluster_->SetSyncTime(leader, SimCluster::kSyncTime);
    if (!cluster_->in_use(leader)) return;
    cluster_->Crash(leader);
    Restart(leader, std::chrono::milliseconds(300));
  });
}

void Nemesis::AwaitLearner(MonoTime until, const std::shared_ptr<bool>& found) {
  if (*found || loop_->now() > until) return;
  for (int node = 0; node < cluster_->size(); ++node) {
    if (!cluster_->running(node)) continue;
    cluster_->node(node)->Info([this, node, found](const NodeInfo& info) {
      const auto group = std::find_if(info.groups.begin(), info.groups.end(), LeadsALearner);
      if (ended_ || *found || group == info.groups.end()) return;
      *found = true;
      for (const MemberInfo& member : group->members) {
        // Its address may be news that this node has yet to hear.
        if (member.voter && !member.address.empty()) {
          CutBetween(node, cluster_->MachineAt(member.address));
        }
      }
      Later(std::chrono::milliseconds(1500), [this] { network_->HealAll(); });
    });
  }
  After(kLearnerPoll, [this, until, found] { AwaitLearner(until, found); });
}

void Nemesis::CutSomeClients(int node) {
  for (int client = 0; client < options_.clients; ++client) {
    if (random_.Chance(0.5)) network_->Cut(Workload::ProcessOf(client), SimCluster::IdOf(node));
  }
}

void Nemesis::CutBetween(int node, int other) {
  network_->Cut(SimCluster::IdOf(node), SimCluster::IdOf(other));
  network_->Cut(SimCluster::IdOf(other), SimCluster::IdOf(node));
}

// One side keeps some nodes, the other the rest; clients may be on either.
void Nemesis::Partition() {
  std::set<ProcessId> here;
  std::set<ProcessId> there;
  for (int node = 0; node < cluster_->size(); ++node) {
    (random_.Chance(0.5) ? here : there).insert(SimCluster::IdOf(node));
  }
  for (int client = 0; client < options_.clients; ++client) {
    if (random_.Chance(0.3)) {
      (random_.Chance(0.5) ? here : there).insert(Workload::ProcessOf(client));
    }
  }
  for (const ProcessId a : here) {
    for (const ProcessId b : there) {
      network_->Cut(a, b);
      network_->Cut(b, a);
    }
  }
  Later(std::chrono::seconds(random_.Chance(0.2) ? 9 : 3), [this] { network_->HealAll(); });
}

void Nemesis::OneWay() {
  const ProcessId one = SimCluster::IdOf(random_.Chance(0.5) ? AnyLeader() : AnyNode());
  const ProcessId other = SimCluster::IdOf(AnyNode());
  if (random_.Chance(0.5)) {
    network_->Cut(one, other);
  } else {
    network_->Cut(other, one);
  }
  Later(std::chrono::seconds(4), [this] { network_->HealAll(); });
}

void Nemesis::Storm() {
  NetworkWeather weather;
  weather.loss = random_.Unit() * 0.25;
  weather.duplication = random_.Unit() * 0.4;
  weather.late = random_.Unit() * 0.4;
  weather.late_max =
      std::chrono::milliseconds(random_.Between(1, random_.Chance(0.2) ? 3000 : 300));
  network_->SetWeather(weather);
  Later(std::chrono::seconds(4), [this] { network_->SetWeather({}); });
}

// ---- what operators do ------------------------------------------------------------------------

void Nemesis::Transfer() {
  const int node = AnyNode();
  if (!cluster_->running(node)) return;
  const GroupId group = random_.Chance(0.5) ? kDirectoryGroup : AnyGroup();
  cluster_->node(node)->TransferLeadership(group, NodeId(),
                                           cluster_->process(node)->Now() + std::chrono::seconds(2),
                                           [](const StatusOr<NodeId>&) {});
}

void Nemesis::Compact() { CompactAt(AnyNode()); }

void Nemesis::CompactAt(int node) {
  if (!cluster_->running(node)) return;
  cluster_->node(node)->TriggerSnapshot(AnyGroup(), NodeId(),
                                        cluster_->process(node)->Now() + std::chrono::seconds(2),
                                        [](const StatusOr<Node::SnapshotTaken>&) {});
}

void Nemesis::Clocks() { SetClocks(AnyNode()); }

void Nemesis::SetClocks(int node) {
  const auto offset = static_cast<std::int64_t>(random_.Below(20'000'000)) - 10'000'000;
  cluster_->SetWallOffset(node, std::chrono::microseconds(offset));
  const auto most = static_cast<std::uint64_t>(options_.climate.drift_ppm_max);
  cluster_->SetDrift(node, static_cast<std::int64_t>(random_.Below(2 * most + 1)) -
                               options_.climate.drift_ppm_max);
}

void Nemesis::Heal() {
  ended_ = true;
  workload_->SetWriting(true);
  network_->HealAll();
  network_->SetWeather({});
  disks_.Heal();
  for (int node = 0; node < cluster_->size(); ++node) {
    if (loop_->paused(SimCluster::IdOf(node))) {
      loop_->Resume(SimCluster::IdOf(node), kResumeJitter);
    }
    if (cluster_->in_use(node)) cluster_->Start(node);
  }
}

}  // namespace flotilla::sim
