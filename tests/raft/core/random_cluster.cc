#include "tests/raft/core/random_cluster.h"

#include <algorithm>
#include <utility>

namespace flotilla::raft {
namespace {

constexpr std::uint64_t kNodes = 5;

}  // namespace

ClusterOptions RandomCluster::Options(std::uint64_t seed) {
  Random random(seed);
  ClusterOptions options;
  options.voters = random.Chance(0.5) ? std::vector<std::uint64_t>{1, 2, 3}
                                      : std::vector<std::uint64_t>{1, 2, 3, 4, 5};
  options.instant_disks = false;
  options.seed = seed;
  options.core.election_timeout_ticks = 6;
  options.core.heartbeat_ticks = 2;
  if (random.Chance(0.5)) options.core.append_bytes_max = 1 + random.Below(40);
  if (random.Chance(0.5)) options.core.inflight_requests_max = 1 + random.Below(4);
  if (random.Chance(0.3)) options.core.inflight_bytes_max = 1 + random.Below(100);
  if (random.Chance(0.3)) options.core.quiesce_after_ticks = 5;
  return options;
}

RandomCluster::RandomCluster(std::uint64_t seed)
    : random_(seed),
      cluster_(Options(seed)),
      loss_(random_.Unit() * 0.2),
      repeats_(random_.Unit() * 0.1) {
  for (std::uint64_t id = 1; id <= kNodes; ++id) {
    const auto ids = cluster_.ids();
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) cluster_.AddNode(id);
  }
}

void RandomCluster::Run(int steps) {
  for (int i = 0; i < steps; ++i) {
    Step();
    if (i % 50 == 0) cluster_.CheckLogs();
  }
}

std::uint64_t RandomCluster::AnyNode() { return 1 + random_.Below(kNodes); }

std::uint64_t RandomCluster::AnyLeader() {
  std::vector<std::uint64_t> leaders;
  for (std::uint64_t id : cluster_.ids()) {
    if (cluster_.running(id) && cluster_.core(id).role() == Role::kLeader) leaders.push_back(id);
  }
  return leaders.empty() ? 0 : leaders[random_.Below(leaders.size())];
}

void RandomCluster::Step() {
  const std::uint64_t node = AnyNode();
  const std::uint64_t leader = AnyLeader();
  const std::uint64_t dice = random_.Below(1000);
  if (dice < 550) {
    DeliverOne();
  } else if (dice < 670) {
    cluster_.Tick(node);
  } else if (dice < 830) {
    cluster_.CompleteWrite(node);
  } else if (dice < 910) {
    if (leader) cluster_.Propose(leader, "p" + std::to_string(next_payload_++));
  } else if (dice < 940) {
    if (cluster_.running(node)) cluster_.Read(node, next_read_++);
  } else if (dice < 950) {
    CrashOrRestart();
  } else if (dice < 958) {
    if (leader) ChangeMembers();
  } else if (dice < 963) {
    if (leader) counts_.transfers += cluster_.Transfer(leader, random_.Below(2) ? 0 : node);
  } else if (dice < 973) {
    CompactSomewhere();
  } else if (dice < 983) {
    if (cluster_.running(node)) cluster_.SendSnapshots(node, random_.Chance(0.7));
  } else if (dice < 990) {
    counts_.installs += cluster_.at(node).install.has_value();
    cluster_.FinishInstall(node);
  } else if (dice < 993) {
    if (random_.Chance(0.7)) {
      cluster_.Heal();
    } else {
      cluster_.Isolate({node, AnyNode()});
    }
  } else if (dice < 995) {
    if (leader) cluster_.core(leader).ReportUnreachable(N(node));
  } else if (dice < 997) {
    if (cluster_.running(node)) cluster_.core(node).Wake();
    cluster_.Drain(node);
  } else if (dice < 998) {
    if (leader) cluster_.core(leader).StepDown();
    if (leader) cluster_.Drain(leader);
  }
}

void RandomCluster::DeliverOne() {
  auto& network = cluster_.network();
  if (network.empty()) return;
  // Mostly in order, as streams do; sometimes from anywhere.
  const std::size_t window =
      random_.Chance(0.8) ? std::min<std::size_t>(network.size(), 4) : network.size();
  const auto position = network.begin() + static_cast<std::ptrdiff_t>(random_.Below(window));
  Message message = *position;
  if (!random_.Chance(repeats_)) network.erase(position);
  if (!random_.Chance(loss_)) cluster_.Deliver(std::move(message));
}

void RandomCluster::CrashOrRestart() {
  const std::uint64_t id = AnyNode();
  if (!cluster_.running(id)) {
    cluster_.Restart(id);
    return;
  }
  if (random_.Chance(0.7)) return;
  Node& node = cluster_.at(id);
  const std::size_t kept = random_.Below(node.writes.size() + 1);
  cluster_.Crash(id, kept, I(random_.Below(node.applied_index.value() + 1)));
  ++counts_.crashes;
  if (random_.Chance(0.5)) cluster_.Restart(id);
}

void RandomCluster::ChangeMembers() {
  std::set<std::uint64_t> voters;
  std::set<std::uint64_t> learners;
  for (std::uint64_t id = 1; id <= kNodes; ++id) {
    const std::uint64_t dice = random_.Below(10);
    if (dice < 6) {
      voters.insert(id);
    } else if (dice < 8) {
      learners.insert(id);
    }
  }
  const MembershipRefusal refusal = cluster_.ChangeMembers(AnyLeader(), voters, learners);
  counts_.membership_changes += refusal == MembershipRefusal::kNone;
}

void RandomCluster::CompactSomewhere() {
  const std::uint64_t id = AnyNode();
  Node& node = cluster_.at(id);
  if (!node.core || node.install || node.applied_index <= node.durable.snapshot.index) return;
  const std::uint64_t span = node.applied_index - node.durable.snapshot.index;
  cluster_.Compact(id, node.durable.snapshot.index + (1 + random_.Below(span)));
}

std::string RandomCluster::Recover() {
  cluster_.Heal();
  for (std::uint64_t id : cluster_.ids()) {
    if (!cluster_.running(id)) cluster_.Restart(id);
    cluster_.core(id).Wake();
    cluster_.Drain(id);
  }
  for (int round = 0; round < 400; ++round) {
    cluster_.Round();
    cluster_.CheckLogs();
    const std::uint64_t leader = cluster_.leader();
    if (leader == 0 || round % 20 != 19) continue;
    // A leader in a configuration at rest, everybody in it as far as it is, and able to go on.
    cluster_.Propose(leader, "after");
    cluster_.Read(leader, next_read_++);
    for (std::uint64_t id : cluster_.ids()) cluster_.Read(id, next_read_++);
    cluster_.Round(10);
    if (cluster_.leader() != leader) continue;
    const Configuration& members = cluster_.core(leader).configuration();
    const Index commit = cluster_.core(leader).commit();
    bool same = !members.joint() && commit == cluster_.core(leader).last_index() &&
                cluster_.invariants().reads_unanswered() == 0;
    for (std::uint64_t id : cluster_.ids()) {
      if (members.Contains(N(id))) same &= cluster_.at(id).applied_index == commit;
    }
    if (same) return "";
  }
  std::string why = "the group does not come to rest:";
  for (std::uint64_t id : cluster_.ids()) {
    const CoreStatus status = cluster_.core(id).Status();
    why += "\n  node " + std::to_string(id) + " role " +
           std::to_string(static_cast<int>(status.role)) + " term " +
           std::to_string(status.term.value()) + " commit " +
           std::to_string(status.commit.value()) + " last " + std::to_string(status.last.value()) +
           " leader " + std::to_string(status.leader.value()) +
           (status.quiescent ? " asleep" : "") + (status.configuration.joint() ? " joint" : "") +
           " voters";
    for (NodeId voter : status.configuration.voters) why += " " + std::to_string(voter.value());
    for (const FollowerProgress& follower : status.followers) {
      why += "\n    follower " + std::to_string(follower.node.value()) + " match " +
             std::to_string(follower.match.value()) + " next " +
             std::to_string(follower.next.value()) + " state " +
             std::to_string(static_cast<int>(follower.state));
    }
  }
  why += "\n  reads unanswered " + std::to_string(cluster_.invariants().reads_unanswered());
  return why;
}

RandomCluster::Counts RandomCluster::Count() {
  counts_.commits = static_cast<int>(cluster_.invariants().highest_commit().value());
  counts_.elections = static_cast<int>(cluster_.invariants().elections());
  for (std::uint64_t id : cluster_.ids()) {
    counts_.reads_confirmed += static_cast<int>(cluster_.at(id).reads_confirmed.size());
  }
  return counts_;
}

}  // namespace flotilla::raft
