#include "shard/formation.h"

#include <gtest/gtest.h>

#include <map>

#include "base/logger.h"
#include "tests/shard/virtual_time.h"

namespace flotilla {
namespace {

// New nodes that can reach each other by address unless they are cut off.
class Fleet {
 public:
  struct One {
    std::string address;
    std::shared_ptr<Formation> formation;
    std::optional<Founding> founded;
    std::optional<Admission> joined;
    bool cut_off = false;
    int asked_to_join = 0;
    Status refusal;
  };

  class Wire final : public raft::Transport {
   public:
    Wire(Fleet* fleet, std::string from) : fleet_(fleet), from_(std::move(from)) {}
    void Start(ClusterId, NodeId, raft::TransportHandler*) override {}
    void SetPeers(const std::vector<raft::PeerAddress>&) override {}
    void Send(std::vector<raft::PeerMessage>) override {}
    void SetAddressCallHandler(AddressCallHandler) override {}
    void Stop() override {}
    void CallAddress(const std::string& address, std::uint32_t method, Bytes body, Duration timeout,
                     UniqueFunction<void(StatusOr<Bytes>)> done) override {
      fleet_->Deliver(from_, address, static_cast<raft::PeerMethod>(method), std::move(body),
                      timeout, std::move(done));
    }

   private:
    Fleet* const fleet_;
    const std::string from_;
  };

  void Add(const std::string& address, std::uint64_t uuid, std::vector<std::string> join,
           std::uint32_t expect) {
    One& one = nodes_[address];
    one.address = address;
    wires_.push_back(std::make_unique<Wire>(this, address));
    Formation::World world;
    world.transport = wires_.back().get();
    world.clock = &loop_;
    world.strand = &strand_;
    world.logger = NullLogger();
    world.found = [this, address](const Founding& founding, UniqueFunction<void(Status)> done) {
      EXPECT_FALSE(nodes_[address].founded) << address << " founded twice";
      nodes_[address].founded = founding;
      nodes_[address].formation->End();
      done(absl::OkStatus());
    };
    world.join = [this, address](const Admission& admission) {
      nodes_[address].joined = admission;
    };
    one.formation = std::make_shared<Formation>(Formation::Options{.uuid = NodeUuid(uuid),
                                                                   .address = address,
                                                                   .join = std::move(join),
                                                                   .expect = expect,
                                                                   .promote = true,
                                                                   .seed = uuid},
                                                world);
    uuids_[address] = NodeUuid(uuid);
    expects_[address] = expect;
    one.formation->Start();
  }

  void Run(Duration time) { loop_.RunFor(time); }
  One& node(const std::string& address) { return nodes_[address]; }

 private:
  void Deliver(const std::string& from, const std::string& to, raft::PeerMethod method, Bytes body,
               Duration timeout, UniqueFunction<void(StatusOr<Bytes>)> done) {
    auto found = nodes_.find(to);
    if (found == nodes_.end() || found->second.cut_off || nodes_[from].cut_off) {
      loop_.At(loop_.Now() + timeout, [done = std::move(done)]() mutable {
        done(Error(Reason::kDeadlineExceeded, "no answer"));
      });
      return;
    }
    loop_.At(loop_.Now() + std::chrono::milliseconds(1),
             [this, to, method, body = std::move(body), done = std::move(done)]() mutable {
               done(Answer(nodes_[to], method, body));
             });
  }

  StatusOr<Bytes> Answer(One& one, raft::PeerMethod method, const Bytes& body) {
    const bool forming = !one.founded && !one.joined;
    switch (method) {
      case raft::PeerMethod::kHello: {
        if (forming) one.formation->OnHello(*DecodeHello(body.view()));
        return Bytes(
            EncodeHello({.uuid = uuids_[one.address],
                         .address = one.address,
                         .expect = expects_[one.address],
                         .cluster = one.founded ? one.founded->cluster : ClusterId(),
                         .founding = one.founded ? EncodeFounding(*one.founded) : std::string(),
                         .heard_of = one.formation->HeardOf()}));
      }
      case raft::PeerMethod::kPropose:
        return Bytes(std::string(
            1, forming && one.formation->OnPropose(*DecodeFoundingCall(body.view())) ? 1 : 0));
      case raft::PeerMethod::kFound:
        if (forming) one.formation->OnFound(*DecodeFoundingCall(body.view()), [](bool) {});
        return Bytes(std::string(1, '\1'));
      case raft::PeerMethod::kJoin: {
        ++one.asked_to_join;
        Admission admission;
        admission.status = one.refusal;
        admission.cluster = one.founded->cluster;
        admission.node = NodeId(77);
        return Bytes(EncodeAdmission(admission));
      }
      default:
        return Error(Reason::kUnimplemented, "");
    }
  }

  Loop loop_;
  LoopStrand strand_{&loop_};
  std::vector<std::unique_ptr<Wire>> wires_;
  std::map<std::string, One> nodes_;
  std::map<std::string, NodeUuid> uuids_;
  std::map<std::string, std::uint32_t> expects_;
};

TEST(Formation, ThreeNodesFoundOneCluster) {
  Fleet fleet;
  const std::vector<std::string> join{"a", "b", "c"};
  fleet.Add("a", 30, join, 3);
  fleet.Add("b", 20, join, 3);
  fleet.Run(std::chrono::seconds(1));
  EXPECT_FALSE(fleet.node("a").founded) << "two nodes are not three";
  fleet.Add("c", 10, join, 3);
  fleet.Run(std::chrono::seconds(2));
  ASSERT_TRUE(fleet.node("a").founded);
  EXPECT_EQ(fleet.node("a").founded, fleet.node("b").founded);
  EXPECT_EQ(fleet.node("a").founded, fleet.node("c").founded);
  const Members& members = fleet.node("a").founded->members;
  ASSERT_EQ(members.records.size(), 3u);
  EXPECT_EQ(members.FindAddress("a")->node, NodeId(1)) << "numbered by address, whoever proposes";
  EXPECT_EQ(members.FindAddress("c")->node, NodeId(3));
}

TEST(Formation, OneCommonAddressIsEnoughToFindEachOther) {
  Fleet fleet;
  for (const auto& [address, uuid] : std::map<std::string, int>{{"a", 5}, {"b", 9}, {"c", 2}}) {
    fleet.Add(address, static_cast<std::uint64_t>(uuid), {"a"}, 3);
  }
  fleet.Run(std::chrono::seconds(3));
  ASSERT_TRUE(fleet.node("c").founded);
  EXPECT_EQ(fleet.node("a").founded, fleet.node("b").founded);
}

TEST(Formation, AFounderThatMissedTheWordTakesTheFoundingOfTheOthers) {
  Fleet fleet;
  const std::vector<std::string> join{"a", "b", "c"};
  fleet.Add("a", 1, join, 3);
  fleet.Add("b", 2, join, 3);
  fleet.Add("c", 3, join, 3);
  // Long enough for everybody to promise; then c hears nothing for a while.
  while (!fleet.node("a").founded) fleet.Run(std::chrono::milliseconds(1));
  fleet.node("c").cut_off = true;
  fleet.Run(std::chrono::seconds(5));
  fleet.node("c").cut_off = false;
  fleet.Run(std::chrono::seconds(2));
  EXPECT_EQ(fleet.node("c").founded, fleet.node("a").founded);
}

TEST(Formation, ALateNodeJoinsInsteadOfFounding) {
  Fleet fleet;
  fleet.Add("a", 1, {}, 1);
  fleet.Run(std::chrono::seconds(1));
  ASSERT_TRUE(fleet.node("a").founded);
  fleet.Add("d", 4, {"a"}, 0);
  fleet.Add("e", 5, {"a"}, 3);
  fleet.Run(std::chrono::seconds(1));
  ASSERT_TRUE(fleet.node("d").joined);
  EXPECT_EQ(fleet.node("d").joined->cluster, fleet.node("a").founded->cluster);
  EXPECT_TRUE(fleet.node("e").joined);
  EXPECT_FALSE(fleet.node("e").founded);
}

TEST(Formation, ANodeThatIsNotLetInAsksEverLessOften) {
  Fleet fleet;
  fleet.Add("a", 1, {}, 1);
  fleet.Run(std::chrono::seconds(1));
  fleet.node("a").refusal = Error(Reason::kMembershipRefused, "its address is taken");
  fleet.Add("d", 4, {"a"}, 0);
  fleet.Run(std::chrono::seconds(60));
  EXPECT_FALSE(fleet.node("d").joined);
  EXPECT_GT(fleet.node("a").asked_to_join, 8);
  EXPECT_LT(fleet.node("a").asked_to_join, 20);
  fleet.node("a").refusal = absl::OkStatus();
  fleet.Run(std::chrono::seconds(6));
  EXPECT_TRUE(fleet.node("d").joined);
}

TEST(Formation, MoreNodesThanExpectedFoundOneClusterAndTheRestJoins) {
  Fleet fleet;
  const std::vector<std::string> join{"a", "b", "c", "d", "e"};
  std::uint64_t uuid = 50;
  for (const std::string& address : join) fleet.Add(address, uuid -= 7, join, 3);
  fleet.Run(std::chrono::seconds(10));
  int founders = 0;
  std::set<ClusterId> clusters;
  for (const std::string& address : join) {
    if (fleet.node(address).founded) {
      ++founders;
      clusters.insert(fleet.node(address).founded->cluster);
    } else {
      EXPECT_TRUE(fleet.node(address).joined) << address;
    }
  }
  EXPECT_EQ(founders, 3);
  EXPECT_EQ(clusters.size(), 1u);
}

}  // namespace
}  // namespace flotilla
