// A bounded exhaustive look: from a few starting points, every order of deliveries, losses,
// repetitions, completed writes, timeouts and crashes, breadth first, with the Invariants checked
// after each step. States that show the same (logs, disks, roles, messages under way) are visited
// once. FLOTILLA_STATES=N looks at N states per starting point.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <sstream>
#include <unordered_set>

#include "tests/raft/core/cluster.h"
#include "tests/raft/core/describe.h"

namespace flotilla::raft {
namespace {

struct Action {
  enum class Kind : std::uint8_t {
    kDeliver,
    kLose,
    kRepeat,
    kWrite,
    kTimeout,
    kCrash,
    kPropose,
    kRead,
    kChange
  };
  Kind kind;
  std::uint64_t which;  // a message by position, or a node
};

// How much of what costs states the explorer may still spend on a path.
struct Budget {
  int losses = 1;
  int repeats = 1;
  int timeouts = 2;
  int crashes = 1;
  int proposals = 1;
  int reads = 1;
  int changes = 0;
};

struct Scenario {
  const char* name;
  ClusterOptions options;
  Budget budget;
  std::function<void(Cluster&)> start;
};

class Explorer {
 public:
  explicit Explorer(const Scenario& scenario) : scenario_(scenario) {}

  // Breadth first, up to so many states. Returns how many were seen.
  std::size_t Run(std::size_t states_max) {
    std::deque<std::vector<Action>> frontier = {{}};
    while (!frontier.empty() && seen_.size() < states_max) {
      const std::vector<Action> path = std::move(frontier.front());
      frontier.pop_front();
      Cluster cluster = Replay(path);
      if (!seen_.insert(std::hash<std::string>()(Fingerprint(cluster, path))).second) continue;
      cluster.CheckLogs();
      depth_ = path.size();
      for (const Action& action : Enabled(cluster, path)) {
        frontier.push_back(path);
        frontier.back().push_back(action);
      }
    }
    return seen_.size();
  }
  std::size_t depth() const { return depth_; }

 private:
  Cluster Replay(const std::vector<Action>& path) {
    Cluster cluster(scenario_.options);
    if (scenario_.start) scenario_.start(cluster);
    std::uint64_t reads = 0;
    for (const Action& action : path) Do(cluster, action, reads);
    return cluster;
  }

  void Do(Cluster& cluster, const Action& action, std::uint64_t& reads) {
    switch (action.kind) {
      case Action::Kind::kDeliver:
      case Action::Kind::kLose:
      case Action::Kind::kRepeat: {
        const auto at = cluster.network().begin() + static_cast<std::ptrdiff_t>(action.which);
        Message message = *at;
        if (action.kind != Action::Kind::kRepeat) cluster.network().erase(at);
        if (action.kind != Action::Kind::kLose) cluster.Deliver(std::move(message));
        return;
      }
      case Action::Kind::kWrite:
        cluster.CompleteWrite(action.which);
        return;
      case Action::Kind::kTimeout: {
        const Term before = cluster.core(action.which).term();
        const Role role = cluster.core(action.which).role();
        for (int i = 0; i < 8; ++i) {
          cluster.Tick(action.which);
          if (cluster.core(action.which).term() != before) break;
          if (cluster.core(action.which).role() != role) break;
        }
        return;
      }
      case Action::Kind::kCrash:
        cluster.Crash(action.which);
        cluster.Restart(action.which);
        return;
      case Action::Kind::kPropose:
        cluster.Propose(action.which, "n");
        return;
      case Action::Kind::kRead:
        cluster.Read(action.which, ++reads);
        return;
      case Action::Kind::kChange:
        cluster.ChangeMembers(action.which, {1, 2, 4});
        return;
    }
  }

  int Left(const std::vector<Action>& path, Action::Kind kind, int budget) const {
    return budget - static_cast<int>(std::count_if(
                        path.begin(), path.end(), [&](const Action& a) { return a.kind == kind; }));
  }

  std::vector<Action> Enabled(Cluster& cluster, const std::vector<Action>& path) {
    using Kind = Action::Kind;
    const Budget& budget = scenario_.budget;
    std::vector<Action> actions;
    const auto may = [&](Kind kind, int limit) { return Left(path, kind, limit) > 0; };
    for (std::uint64_t i = 0; i < cluster.network().size(); ++i) {
      actions.push_back({Kind::kDeliver, i});
      if (may(Kind::kLose, budget.losses)) actions.push_back({Kind::kLose, i});
      if (may(Kind::kRepeat, budget.repeats)) actions.push_back({Kind::kRepeat, i});
    }
    for (std::uint64_t id : cluster.ids()) {
      if (!cluster.at(id).writes.empty()) actions.push_back({Kind::kWrite, id});
      if (may(Kind::kTimeout, budget.timeouts)) actions.push_back({Kind::kTimeout, id});
      if (may(Kind::kCrash, budget.crashes)) actions.push_back({Kind::kCrash, id});
      if (may(Kind::kRead, budget.reads)) actions.push_back({Kind::kRead, id});
      if (cluster.core(id).role() != Role::kLeader) continue;
      if (may(Kind::kPropose, budget.proposals)) actions.push_back({Kind::kPropose, id});
      if (may(Kind::kChange, budget.changes)) actions.push_back({Kind::kChange, id});
    }
    return actions;
  }

  // What the state shows, and what may still be spent on it.
  std::string Fingerprint(Cluster& cluster, const std::vector<Action>& path) {
    std::ostringstream out;
    int kinds[9] = {};
    for (const Action& action : path) ++kinds[static_cast<int>(action.kind)];
    for (int kind = 1; kind < 9; ++kind) {
      if (kind != static_cast<int>(Action::Kind::kWrite)) out << kinds[kind] << ",";
    }
    for (std::uint64_t id : cluster.ids()) {
      const Node& node = cluster.at(id);
      out << "\n" << Describe(node.core->Status());
      for (const FollowerProgress& follower : node.core->Status().followers) {
        out << " " << follower.match.value() << "," << follower.next.value() << ","
            << static_cast<int>(follower.state);
      }
      for (const Entry& entry : node.durable.log) out << Describe(entry);
      for (const Node::Write& write : node.writes) out << Describe(write.batch);
    }
    std::vector<std::string> messages;
    for (const Message& message : cluster.network()) messages.push_back(Describe(message));
    std::sort(messages.begin(), messages.end());
    for (const std::string& message : messages) out << "\n" << message;
    return out.str();
  }

  const Scenario& scenario_;
  std::unordered_set<std::size_t> seen_;
  std::size_t depth_ = 0;
};

ClusterOptions Small(std::vector<std::uint64_t> voters) {
  ClusterOptions options;
  options.voters = std::move(voters);
  options.instant_disks = false;
  options.core.election_timeout_ticks = 3;
  options.core.heartbeat_ticks = 2;
  return options;
}

// Messages that only tell what is known already: fewer of them, deeper looks.
void Quiet(Cluster& cluster) {
  cluster.drop = [](const Message& message) {
    const auto* heartbeat = std::get_if<Heartbeat>(&message.body);
    return heartbeat && heartbeat->read_round == 0;
  };
}

std::vector<Scenario> Scenarios() {
  std::vector<Scenario> scenarios;
  scenarios.push_back({"election", Small({1, 2, 3}), {.timeouts = 3, .reads = 0}, Quiet});
  scenarios.push_back({"two nodes", Small({1, 2}), {.timeouts = 3}, Quiet});
  scenarios.push_back(
      {"a leader with an entry nobody else has", Small({1, 2, 3}), {}, [](Cluster& cluster) {
         Quiet(cluster);
         cluster.Elect(1);
         cluster.Propose(1, "old");
         cluster.network().clear();
         for (std::uint64_t id : {2, 3}) cluster.Tick(id, 3);
         cluster.network().clear();
       }});
  scenarios.push_back(
      {"a membership change", Small({1, 2, 3}), {.reads = 0, .changes = 1}, [](Cluster& cluster) {
         Quiet(cluster);
         cluster.AddNode(4);
         cluster.Elect(1);
       }});
  return scenarios;
}

TEST(RaftExploration, EveryOrderOfEventsKeepsTheInvariants) {
  std::size_t states = 15000;
  if (const char* more = std::getenv("FLOTILLA_STATES")) states = std::strtoull(more, nullptr, 10);
  for (const Scenario& scenario : Scenarios()) {
    Explorer explorer(scenario);
    const std::size_t seen = explorer.Run(states);
    std::printf("%s: %zu states, up to %zu steps deep\n", scenario.name, seen, explorer.depth());
    EXPECT_GT(seen, states / 10);
  }
}

}  // namespace
}  // namespace flotilla::raft
