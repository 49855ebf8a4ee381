// Seeds of faults: losses, repetitions, reordering, partitions, crashes, restarts, departures. Then
// calm, in which everything must become right in bounded time, and stay so.
//
// FLOTILLA_SEEDS=FIRST..LAST runs other seeds than the default ones.

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "tests/shard/gossip/fleet.h"

namespace flotilla::gossip {
namespace {

constexpr std::uint64_t kPeriod = GossipCoreOptions{}.period_ticks;
constexpr int kEvents = 60;
// In calm, from any state of things.
constexpr std::uint64_t kRecoveryPeriods = 120;

GossipCoreOptions StormOptions(Random& random) {
  GossipCoreOptions options;
  options.message_bytes_max = 2200;
  options.members_max = 64;
  // In some storms the dead are forgotten while they are cut off.
  options.forget_periods = random.Chance(0.5) ? 15 : 3600;
  return options;
}

class Storm {
 public:
  explicit Storm(std::uint64_t seed)
      : random_(seed), nodes_(random_.Between(3, 12)), fleet_(seed, StormOptions(random_)) {
    for (std::uint64_t node = 1; node <= nodes_; ++node) StartNode(NodeId(node));
    fleet_.on_change = [this](NodeId viewer, const Change& change) { OnChange(viewer, change); };
  }

  void Rage() {
    for (int i = 0; i < kEvents; ++i) {
      Event();
      for (std::uint64_t tick = random_.Below(5 * kPeriod); tick > 0; --tick) {
        fleet_.Tick();
        CheckInvariants();
      }
    }
  }

  // No more faults; whoever was leaving has gone.
  void Calm() {
    fleet_.weather = {};
    fleet_.cut = nullptr;
    for (const NodeId node : leaving_) fleet_.Crash(node);
    leaving_.clear();
  }

  // Nothing: all is well within the time given. Otherwise what is wrong.
  std::string Recover(std::uint64_t periods_max) {
    const std::uint64_t before = fleet_.now();
    const bool well = fleet_.RunUntil([this] { return Wrong().empty(); }, periods_max * kPeriod);
    recovery_ticks_ = fleet_.now() - before;
    return well ? "" : Wrong();
  }

  // Nobody is accused in calm, once the probes have ended that began in the storm, and what came of
  // them.
  std::string StayWell(std::uint64_t periods) {
    fleet_.Run((15 + GossipCoreOptions{}.health_score_max) * kPeriod);
    accusations_ = 0;
    fleet_.Run(periods * kPeriod);
    if (accusations_ > 0) return fmt::format("{} were accused in calm", accusations_);
    return Wrong();
  }

  void CrashOne() { Crash(SomeRunning()); }

  // What is not as it is in truth.
  std::string Wrong() const {
    std::string wrong = fleet_.Disagreements();
    for (const auto& [viewer, core] : fleet_.cores()) {
      for (const MemberTable::Entry& entry : core->members().entries()) {
        const auto truth = fleet_.cores().find(entry.node);
        if (truth == fleet_.cores().end()) {
          if (entry.standing.present()) {
            wrong += fmt::format("{} holds {}, which is gone, {}; ", viewer.value(),
                                 entry.node.value(), StateName(entry.standing.state));
          }
        } else if (!SameMember(entry, *truth->second->members().Find(entry.node))) {
          wrong += fmt::format("{} knows something else of {} than that itself; ", viewer.value(),
                               entry.node.value());
        }
      }
    }
    return wrong;
  }

  std::uint64_t nodes() const { return nodes_; }
  std::uint64_t recovery_ticks() const { return recovery_ticks_; }
  std::uint64_t false_deaths() const { return false_deaths_; }

 private:
  void StartNode(NodeId node) {
    // Half of the time the new life does not know how long the earlier one was.
    const Incarnation first(random_.Chance(0.5) ? 1 : greatest_[node].value() + 1);
    fleet_.Start(node, first);
    leaving_.erase(node);
    SayOfItself(node);
    std::vector<NodeId> everyone;
    for (std::uint64_t other = 1; other <= nodes_; ++other) everyone.push_back(NodeId(other));
    fleet_.at(node.value()).SetContacts(everyone);
    Note(node);
  }

  void Crash(NodeId node) {
    fleet_.Crash(node);
    leaving_.erase(node);
  }

  void SayOfItself(NodeId node) {
    GossipCore& core = fleet_.at(node.value());
    core.SetProfile({.address = fmt::format("n{}:{}", node.value(), random_.Below(100)),
                     .labels = {{"zone", std::string(random_.Below(300), 'z')}}});
    core.SetLoad({.leaders = random_.Below(1000)});
  }

  std::size_t staying() const { return fleet_.cores().size() - leaving_.size(); }

  NodeId SomeRunning() {
    auto core = fleet_.cores().begin();
    std::advance(core, random_.Below(fleet_.cores().size()));
    return core->first;
  }

  void Event() {
    const NodeId any(random_.Between(1, nodes_));
    switch (random_.Below(8)) {
      case 0:
        if (staying() > 2) Crash(SomeRunning());
        break;
      case 1:
      case 2:
        if (!fleet_.runs(any) || leaving_.contains(any)) StartNode(any);
        break;
      case 3:
        fleet_.weather = {.loss = random_.Unit() * 0.3,
                          .repetition = random_.Unit() * 0.2,
                          .delay_min = 1,
                          .delay_max = random_.Between(1, 2 * kPeriod)};
        break;
      case 4: {
        const std::uint64_t side = random_.Next();
        const bool one_way = random_.Chance(0.3);
        fleet_.cut = [side, one_way](NodeId from, NodeId to) {
          const bool a = (side >> from.value() & 1) != 0;
          const bool b = (side >> to.value() & 1) != 0;
          return one_way ? a && !b : a != b;
        };
        break;
      }
      case 5:
        fleet_.cut = nullptr;
        break;
      case 6:
        if (fleet_.runs(any) && !leaving_.contains(any)) SayOfItself(any);
        break;
      case 7:
        if (staying() > 2 && fleet_.runs(any) && random_.Chance(0.3)) {
          fleet_.at(any.value()).Leave();
          fleet_.Take(any);
          leaving_.insert(any);
        }
        break;
      default:
        break;
    }
  }

  void OnChange(NodeId viewer, const Change& change) {
    if (change.kind != ChangeKind::kDead && change.kind != ChangeKind::kSuspect) return;
    ++accusations_;
    if (change.kind == ChangeKind::kDead && fleet_.runs(change.node)) ++false_deaths_;
  }

  void Note(NodeId node) {
    const GossipCore& core = fleet_.at(node.value());
    const Incarnation own = core.members().Find(node)->standing.incarnation;
    greatest_[node] = std::max(greatest_[node], own);
  }

  void CheckInvariants() {
    for (const auto& [node, core] : fleet_.cores()) Note(node);
    for (const auto& [viewer, core] : fleet_.cores()) {
      const MemberTable& members = core->members();
      for (const MemberTable::Entry& entry : members.entries()) {
        // Nobody raises the incarnation of another.
        ASSERT_LE(entry.standing.incarnation, greatest_[entry.node]);
      }
      ASSERT_LE(core->waiting_rumours(), 3 * members.entries().size());
      ASSERT_EQ(members.Find(viewer)->standing.present(), !core->left());
    }
  }

  Random random_;
  const std::uint64_t nodes_;
  Fleet fleet_;
  std::set<NodeId> leaving_;
  std::map<NodeId, Incarnation> greatest_;
  std::uint64_t accusations_ = 0;
  std::uint64_t false_deaths_ = 0;
  std::uint64_t recovery_ticks_ = 0;
};

TEST(GossipStorm, EndsInTheTruth) {
  std::uint64_t first = 1;
  std::uint64_t last = 300;
  if (const char* seeds = std::getenv("FLOTILLA_SEEDS")) {
    ASSERT_EQ(std::sscanf(seeds, "%lu..%lu", &first, &last), 2) << "FLOTILLA_SEEDS=FIRST..LAST";
  }
  std::uint64_t false_deaths = 0;
  std::uint64_t longest = 0;
  std::uint64_t longest_burial = 0;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE(fmt::format("replay: FLOTILLA_SEEDS={0}..{0}", seed));
    Storm storm(seed);
    storm.Rage();
    if (testing::Test::HasFatalFailure()) return;
    storm.Calm();
    ASSERT_EQ(storm.Recover(kRecoveryPeriods), "");
    longest = std::max(longest, storm.recovery_ticks());
    ASSERT_EQ(storm.StayWell(60), "");

    // Completeness: probed within two walks, then its time to refute, then the news of it.
    storm.CrashOne();
    const std::uint64_t log = 4;  // bits of 12
    ASSERT_EQ(storm.Recover(2 * storm.nodes() + (3 + 1) * log), "");
    longest_burial = std::max(longest_burial, storm.recovery_ticks());
    false_deaths += storm.false_deaths();
  }
  std::fprintf(stderr,
               "%lu deaths of live nodes under faults; longest recovery %lu periods, longest "
               "burial %lu\n",
               false_deaths, longest / kPeriod, longest_burial / kPeriod);
  if (last - first < 100) return;
  // A test in which nothing happens proves nothing.
  EXPECT_GT(false_deaths, 100u);
}

TEST(GossipStorm, ASeedRunTwiceSaysTheSame) {
  const auto run = [](std::uint64_t seed) {
    Fleet fleet(seed);
    fleet.weather = {.loss = 0.1, .repetition = 0.1, .delay_min = 1, .delay_max = 7};
    std::uint64_t hash = 0;
    fleet.on_sent = [&](NodeId from, const GossipCore::Outgoing& outgoing) {
      hash = hash * 31 + from.value() * 1000 + outgoing.to.value() * 10 +
             outgoing.message.body.index() + outgoing.message.rumours.size() * 100'000;
    };
    for (std::uint64_t node = 1; node <= 10; ++node) fleet.Start(NodeId(node));
    fleet.Run(50 * kPeriod);
    fleet.Crash(NodeId(3));
    fleet.Run(50 * kPeriod);
    return hash * 31 + fleet.sent_bytes();
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

}  // namespace
}  // namespace flotilla::gossip
