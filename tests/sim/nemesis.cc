#include "tests/sim/nemesis.h"

#include <utility>

#include "tests/sim/workload.h"

namespace flotilla::sim {
namespace {

constexpr ProcessId kNemesis = 99;
constexpr std::uint32_t kStrike = 40;
constexpr Duration kResumeJitter = std::chrono::milliseconds(50);

}  // namespace

Nemesis::Nemesis(const Options& options, EventLoop* loop, SimCluster* cluster, SimNetwork* network)
    : options_(options), loop_(loop), cluster_(cluster), network_(network), random_(options.seed) {}

void Nemesis::Start() { Next(); }

void Nemesis::Later(Duration max, Closure closure) {
  const Duration wait(
      static_cast<std::int64_t>(random_.Below(static_cast<std::uint64_t>(max.count()) + 1)));
  loop_->At(loop_->now() + wait, kNemesis, kStrike, std::move(closure));
}

void Nemesis::Next() {
  Later(options_.pause_max, [this] {
    if (ended_) return;
    Strike();
    Next();
  });
}

void Nemesis::Strike() {
  switch (random_.Below(20)) {
    case 18:
    case 19:
      Uprising();
      break;
    case 14:
    case 15:
      SlowDisks();
      break;
    case 16:
    case 17:
      PauseOne();
      break;
    case 10:
      CrashAll();
      break;
    case 11:
    case 12:
    case 13:
      IsolateLeader();
      break;
    case 0:
    case 1:
    case 2:
      CrashOne();
      break;
    case 3:
    case 4:
      Partition();
      break;
    case 5:
      OneWay();
      break;
    case 6:
      PauseOne();
      break;
    case 7:
      Storm();
      break;
    case 8:
      random_.Chance(0.5) ? Transfer() : Compact();
      break;
    default:
      random_.Chance(0.7) ? network_->HealAll() : JumpClock();
      break;
  }
}

void Nemesis::CrashOne() {
  const int node = AnyNode();
  if (!cluster_->running(node)) return;
  cluster_->Crash(node);
  Later(std::chrono::seconds(3), [this, node] {
    if (!cluster_->running(node)) cluster_->Start(node);
  });
}

void Nemesis::CrashAll() {
  for (int node = 0; node < cluster_->size(); ++node) {
    if (!cluster_->running(node)) continue;
    cluster_->Crash(node);
    Later(std::chrono::seconds(1), [this, node] {
      if (!cluster_->running(node)) cluster_->Start(node);
    });
  }
}

void Nemesis::Uprising() {
  const auto sync = std::chrono::milliseconds(random_.Between(5, 60));
  for (int node = 0; node < cluster_->size(); ++node) cluster_->SetSyncTime(node, sync);
  const int leader = LeaderOrAny();
  cluster_->Crash(leader);
  for (int cut = 0; cut < 6; ++cut) {
    Later(std::chrono::milliseconds(900), [this] {
      const int node = random_.Chance(0.5) ? LeaderOrAny() : AnyNode();
      if (ended_ || !cluster_->running(node)) return;
      cluster_->Crash(node);
      cluster_->Start(node);
    });
  }
  Later(std::chrono::seconds(1), [this, leader] {
    if (!cluster_->running(leader)) cluster_->Start(leader);
    for (int node = 0; node < cluster_->size(); ++node) {
      cluster_->SetSyncTime(node, SimCluster::kSyncTime);
    }
  });
}

int Nemesis::LeaderOrAny() {
  for (int node = 0; node < cluster_->size(); ++node) {
    if (!cluster_->running(node)) continue;
    if (cluster_->node(node)->Leads(GroupId())) return node;
  }
  return AnyNode();
}

void Nemesis::IsolateLeader() {
  const ProcessId leader = SimCluster::IdOf(LeaderOrAny());
  for (int node = 0; node < cluster_->size(); ++node) {
    network_->Cut(leader, SimCluster::IdOf(node));
    network_->Cut(SimCluster::IdOf(node), leader);
  }
  for (int client = 0; client < options_.clients; ++client) {
    if (random_.Chance(0.5)) network_->Cut(Workload::ProcessOf(client), leader);
  }
  Later(std::chrono::seconds(2), [this] { network_->HealAll(); });
}

// One side keeps some nodes, the other the rest; clients may be on either.
void Nemesis::Partition() {
  std::set<ProcessId> here;
  std::set<ProcessId> there;
  for (int node = 0; node < cluster_->size(); ++node) {
    (random_.Chance(0.5) ? here : there).insert(SimCluster::IdOf(node));
  }
  for (int client = 0; client < options_.clients; ++client) {
    if (random_.Chance(0.3))
      (random_.Chance(0.5) ? here : there).insert(Workload::ProcessOf(client));
  }
  for (const ProcessId a : here) {
    for (const ProcessId b : there) {
      network_->Cut(a, b);
      network_->Cut(b, a);
    }
  }
  Later(std::chrono::seconds(4), [this] { network_->HealAll(); });
}

void Nemesis::OneWay() {
  network_->Cut(SimCluster::IdOf(AnyNode()), SimCluster::IdOf(AnyNode()));
  Later(std::chrono::seconds(4), [this] { network_->HealAll(); });
}

void Nemesis::PauseOne() {
  const ProcessId process = SimCluster::IdOf(random_.Chance(0.7) ? LeaderOrAny() : AnyNode());
  loop_->Pause(process);
  Later(std::chrono::seconds(2), [this, process] { loop_->Resume(process, kResumeJitter); });
}

void Nemesis::SlowDisks() {
  const auto sync = std::chrono::milliseconds(random_.Between(5, 150));
  const bool all = random_.Chance(0.6);
  for (int node = 0; node < cluster_->size(); ++node) {
    if (all || random_.Chance(0.5)) cluster_->SetSyncTime(node, sync);
  }
  const bool power_goes = random_.Chance(0.6);
  Later(std::chrono::seconds(2), [this, power_goes] {
    if (power_goes && !ended_) CrashAll();
    for (int node = 0; node < cluster_->size(); ++node) {
      cluster_->SetSyncTime(node, SimCluster::kSyncTime);
    }
  });
}

void Nemesis::Storm() {
  NetworkWeather weather;
  weather.loss = random_.Unit() * 0.2;
  weather.duplication = random_.Unit() * 0.2;
  weather.late = random_.Unit() * 0.3;
  weather.late_max = std::chrono::milliseconds(random_.Between(1, 300));
  network_->SetWeather(weather);
  Later(std::chrono::seconds(3), [this] { network_->SetWeather({}); });
}

void Nemesis::Transfer() {
  const int node = AnyNode();
  if (!cluster_->running(node)) return;
  cluster_->node(node)->TransferLeadership(
      GroupId(), NodeId(), loop_->now() + std::chrono::seconds(2), [](const StatusOr<NodeId>&) {});
}

void Nemesis::Compact() {
  const int node = AnyNode();
  if (!cluster_->running(node)) return;
  cluster_->node(node)->TriggerSnapshot(GroupId(), NodeId(), loop_->now() + std::chrono::seconds(2),
                                        [](const StatusOr<Node::SnapshotTaken>&) {});
}

void Nemesis::JumpClock() {
  const int node = AnyNode();
  if (!cluster_->running(node)) return;
  const auto offset = static_cast<std::int64_t>(random_.Below(20'000'000)) - 10'000'000;
  cluster_->process(node)->SetWallOffset(std::chrono::microseconds(offset));
}

void Nemesis::Heal() {
  ended_ = true;
  network_->HealAll();
  network_->SetWeather({});
  for (int node = 0; node < cluster_->size(); ++node) {
    if (loop_->paused(SimCluster::IdOf(node))) {
      loop_->Resume(SimCluster::IdOf(node), kResumeJitter);
    }
    cluster_->SetSyncTime(node, SimCluster::kSyncTime);
    if (!cluster_->running(node)) cluster_->Start(node);
  }
}

}  // namespace flotilla::sim
