// Gossip as a node has it: over an executor and a network of bytes.
#include <gtest/gtest.h>

#include <latch>
#include <map>
#include <set>

#include "base/real_executor.h"
#include "shard/gossip/codec.h"
#include "shard/gossip/gossip.h"
#include "tests/sim/sim_process.h"

namespace flotilla::gossip {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Nodes in virtual time, on a network that takes a millisecond.
class Town {
 public:
  std::shared_ptr<Gossip> Start(std::uint64_t id, GossipOptions options = {}) {
    const NodeId node(id);
    options.core.self = node;
    options.core.seed = id;
    const auto process = static_cast<sim::ProcessId>(id);
    House& house = houses_[node];
    house.process = std::make_unique<sim::SimProcess>(&loop_, process);
    house.gossip = Gossip::Make(
        options, house.process.get(),
        [this, node](NodeId to, Bytes message) { Carry(node, to, std::move(message)); },
        [this, node](const std::vector<Change>& changes, const GossipView& view) {
          EXPECT_EQ(view.members.size(), houses_[node].gossip->View()->members.size());
          for (const Change& change : changes) {
            ++houses_[node].heard[{change.node, change.kind}];
          }
        });
    house.gossip->SetContacts({NodeId(1), NodeId(2), NodeId(3)});
    house.gossip->Start();
    return house.gossip;
  }

  void RunFor(Duration time) { loop_.RunFor(time); }
  void Kill(std::uint64_t node) { houses_[NodeId(node)].process->Stop(); }
  std::uint64_t carried() const { return carried_; }
  int Heard(std::uint64_t viewer, std::uint64_t node, ChangeKind kind) {
    return houses_[NodeId(viewer)].heard[{NodeId(node), kind}];
  }

 private:
  struct House {
    std::unique_ptr<sim::SimProcess> process;
    std::shared_ptr<Gossip> gossip;
    std::map<std::pair<NodeId, ChangeKind>, int> heard;
  };

  void Carry(NodeId from, NodeId to, Bytes message) {
    ++carried_;
    loop_.At(loop_.now() + milliseconds(1), static_cast<sim::ProcessId>(to.value()),
             sim::kFirstPeerEvent, [this, from, to, message = std::move(message)] {
               const auto house = houses_.find(to);
               if (house != houses_.end()) house->second.gossip->OnMessage(from, message);
             });
  }

  sim::EventLoop loop_;
  std::map<NodeId, House> houses_;
  std::uint64_t carried_ = 0;
};

MemberState StateOf(const std::shared_ptr<Gossip>& gossip, std::uint64_t node) {
  return gossip->View()->Find(NodeId(node))->standing.state;
}

TEST(Gossip, NodesFindEachOtherAndNoticeWhoIsGone) {
  Town town;
  const auto one = town.Start(1);
  const auto two = town.Start(2);
  const auto three = town.Start(3);
  ASSERT_TRUE(three->SetProfile({.address = "n3:7101", .labels = {{"zone", "c"}}}).ok());
  three->SetLoad({.bytes_stored = 33});
  town.RunFor(seconds(5));
  const std::shared_ptr<const GossipView> view = one->View();
  ASSERT_EQ(view->members.size(), 3u);
  EXPECT_EQ(view->Find(NodeId(3))->profile->labels.at("zone"), "c");
  EXPECT_EQ(view->Find(NodeId(3))->load->bytes_stored, 33u);
  EXPECT_EQ(view->Find(NodeId(4)), nullptr);

  town.Kill(3);
  town.RunFor(seconds(30));
  EXPECT_EQ(StateOf(one, 3), MemberState::kDead);
  EXPECT_EQ(StateOf(two, 3), MemberState::kDead);
  EXPECT_EQ(view->Find(NodeId(3))->standing.state, MemberState::kAlive) << "a view does not change";
  for (const ChangeKind kind : {ChangeKind::kAlive, ChangeKind::kSuspect, ChangeKind::kDead,
                                ChangeKind::kProfile, ChangeKind::kLoad}) {
    EXPECT_EQ(town.Heard(1, 3, kind), 1) << static_cast<int>(kind);
  }
  EXPECT_EQ(town.Heard(1, 2, ChangeKind::kSuspect), 0);
}

TEST(Gossip, WhoeverLeavesIsNotMissed) {
  Town town;
  const auto one = town.Start(1);
  const auto two = town.Start(2);
  town.RunFor(seconds(5));
  bool said = false;
  bool stopped = false;
  two->Leave([&] { said = true; });
  two->Stop([&] { stopped = true; });
  town.RunFor(milliseconds(10));
  EXPECT_TRUE(said);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(StateOf(one, 2), MemberState::kLeft);
  town.RunFor(seconds(60));
  EXPECT_EQ(town.Heard(1, 2, ChangeKind::kSuspect), 0);
}

TEST(Gossip, NothingHappensBeforeTheStartAndAfterTheStop) {
  Town town;
  const auto one = town.Start(1);
  const auto two = town.Start(2);
  town.RunFor(seconds(5));
  one->Stop([] {});
  two->Stop([] {});
  town.RunFor(milliseconds(10));
  const std::uint64_t carried = town.carried();
  one->OnMessage(NodeId(2), Bytes(EncodeMessage({.sender = {}, .body = Ping{ProbeNumber(1)}})));
  one->Start();
  one->Leave([] {});
  EXPECT_TRUE(one->SetProfile({.address = "late"}).ok());
  town.RunFor(seconds(60));
  EXPECT_EQ(town.carried(), carried);
  EXPECT_EQ(StateOf(one, 2), MemberState::kAlive);
}

TEST(Gossip, CountsAndDropsWhatIsMalformedOrTooMuch) {
  Town town;
  GossipOptions options;
  options.inbox_messages_max = 10;
  const auto one = town.Start(1, options);
  town.RunFor(seconds(1));
  one->OnMessage(NodeId(2), Bytes("nonsense"));
  one->OnMessage(NodeId(2), Bytes(std::string(kMessageBytesMax + 1, 'x')));
  town.RunFor(milliseconds(1));
  EXPECT_EQ(one->Stats().malformed, 2u);
  EXPECT_EQ(one->Stats().received, 2u);
  const Bytes ping(EncodeMessage({.sender = {}, .body = Ping{ProbeNumber(1)}}));
  for (int i = 0; i < 100; ++i) one->OnMessage(NodeId(2), ping);
  EXPECT_EQ(one->Stats().overflowed, 90u);
  town.RunFor(milliseconds(1));
  EXPECT_EQ(one->Stats().received, 12u);
  one->OnMessage(NodeId(2), ping);
  town.RunFor(milliseconds(1));
  EXPECT_EQ(one->Stats().received, 13u) << "there is room again";
  EXPECT_GE(one->Stats().sent, 11u);
  EXPECT_GT(one->Stats().sent_bytes, one->Stats().sent);
}

TEST(Gossip, RefusesAProfileThatIsTooLarge) {
  Town town;
  const auto one = town.Start(1);
  const Status refused = one->SetProfile({.address = std::string(kProfileBytesMax, 'x')});
  EXPECT_EQ(ReasonOf(refused), Reason::kBadRequest);
  // Also the largest one that is taken can be sent, in whichever version.
  std::size_t size = kProfileBytesMax;
  while (!one->SetProfile({.address = std::string(size, 'x')}).ok()) --size;
  EXPECT_GT(size, kProfileBytesMax - 20);
  const auto two = town.Start(2);
  town.RunFor(seconds(5));
  ASSERT_NE(two->View()->Find(NodeId(1))->profile, nullptr);
  EXPECT_EQ(two->View()->Find(NodeId(1))->profile->address.size(), size);
}

// Threads, for the sanitizer: a node is read and told things while it gossips.
TEST(Gossip, IsUsedFromAnyThread) {
  RealExecutor executor(2);
  constexpr std::uint64_t kNodes = 3;
  std::vector<std::shared_ptr<Gossip>> all(kNodes + 1);
  std::latch everyone(kNodes);
  std::latch stopped(kNodes);
  for (std::uint64_t id = 1; id <= kNodes; ++id) {
    GossipOptions options;
    options.core.self = NodeId(id);
    options.core.seed = id;
    options.tick = milliseconds(1);
    all[id] = Gossip::Make(
        options, &executor,
        [&all, id](NodeId to, Bytes message) {
          all[to.value()]->OnMessage(NodeId(id), std::move(message));
        },
        [&everyone, told = false](const std::vector<Change>&, const GossipView& view) mutable {
          if (told || view.members.size() < kNodes) return;
          told = true;
          everyone.count_down();
        });
  }
  for (std::uint64_t id = 1; id <= kNodes; ++id) {
    all[id]->SetContacts({NodeId(1), NodeId(2), NodeId(3)});
    all[id]->Start();
  }
  for (std::uint64_t i = 0; i < 1000; ++i) {
    Gossip& gossip = *all[i % kNodes + 1];
    gossip.SetLoad({.leaders = i});
    EXPECT_TRUE(gossip.SetProfile({.address = std::to_string(i)}).ok());
    EXPECT_NE(gossip.View()->Find(NodeId(i % kNodes + 1)), nullptr);
  }
  everyone.wait();
  for (std::uint64_t id = 1; id <= kNodes; ++id) all[id]->Stop([&] { stopped.count_down(); });
  stopped.wait();
  executor.Stop();
}

}  // namespace
}  // namespace flotilla::gossip
