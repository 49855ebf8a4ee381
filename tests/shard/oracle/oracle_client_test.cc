#include "shard/oracle/oracle_client.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "shard/oracle/codec.h"
#include "tests/shard/oracle/fake_directory.h"
#include "tests/shard/virtual_time.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;

// Carries calls between the nodes of the test, in no time; keeps them back when told to.
class Wire final : public raft::Transport {
 public:
  void Start(ClusterId, NodeId, raft::TransportHandler*) override {}
  void SetPeers(const std::vector<raft::PeerAddress>&) override {}
  void Send(std::vector<raft::PeerMessage> messages) override {
    for (raft::PeerMessage& message : messages) {
      if (!std::get<raft::Call>(message.payload).answer) ++requests;
      queue.push_back(std::move(message));
    }
  }
  void CallAddress(const std::string&, std::uint32_t, Bytes, Duration,
                   UniqueFunction<void(StatusOr<Bytes>)>) override {}
  void SetAddressCallHandler(AddressCallHandler) override {}
  void Stop() override {}

  void Deliver() {
    while (!queue.empty()) {
      raft::PeerMessage message = std::move(queue.front());
      queue.pop_front();
      nodes[message.to]->OnCall(message.from, std::get<raft::Call>(std::move(message.payload)));
    }
  }

  std::map<NodeId, raft::PeerCalls*> nodes;
  std::deque<raft::PeerMessage> queue;
  int requests = 0;
};

struct OneNode {
  OneNode(NodeId id, FakeRow* row, Loop* loop, Wire* wire, NodeId* leader)
      : directory(row),
        strand(loop),
        calls(wire, loop, &strand),
        server(directory.World()),
        client({.clock = loop,
                .strand = &strand,
                .calls = &calls,
                .server = &server,
                .leader = [leader, id] { return *leader == id ? NodeId() : *leader; },
                .leads = [leader, id] { return *leader == id; },
                .term = [] { return raft::Term(7); }}) {
    calls.SetSelf(id);
    wire->nodes[id] = &calls;
  }

  FakeDirectory directory;
  LoopStrand strand;
  raft::PeerCalls calls;
  OracleServer server;
  OracleClient client;
};

struct OracleClientTest : ::testing::Test {
  void RunFor(Duration time) {
    for (Duration done{0}; done < time; done += milliseconds(1)) {
      wire.Deliver();
      loop.RunFor(milliseconds(1));
    }
    wire.Deliver();
  }
  void Take(OneNode& node, std::uint64_t count = 1, Duration within = std::chrono::seconds(2)) {
    node.client.Take(count, loop.Now() + within, taken.Sink());
  }

  Loop loop;
  Wire wire;
  FakeRow row;
  NodeId leader{1};
  OneNode one{NodeId(1), &row, &loop, &wire, &leader};
  OneNode two{NodeId(2), &row, &loop, &wire, &leader};
  Taken taken;
};

TEST_F(OracleClientTest, AsksNobodyOnTheLeadersNode) {
  Take(one);
  EXPECT_TRUE(taken.last());
  EXPECT_EQ(wire.requests, 0);
}

TEST_F(OracleClientTest, AsksTheLeaderOfTheDirectory) {
  Take(two, 3);
  wire.Deliver();
  const Timestamp first = taken.last();
  ASSERT_TRUE(first);
  Take(one);
  EXPECT_EQ(taken.last(), first + 3);
}

// The leader need not ask who asks it.
TEST_F(OracleClientTest, SaysWhichTermTheAskerIsIn) {
  Take(two);
  wire.Deliver();
  ASSERT_EQ(one.directory.askers.size(), 1u);
  EXPECT_EQ(one.directory.askers[0].node, NodeId(2));
  EXPECT_EQ(one.directory.askers[0].term, raft::Term(7));
}

TEST_F(OracleClientTest, OneRequestServesAllWhoWait) {
  Take(two);
  for (std::uint64_t i = 0; i < 100; ++i) Take(two, i % 3 + 1);
  EXPECT_EQ(wire.requests, 1);
  wire.Deliver();
  EXPECT_EQ(wire.requests, 2);
  ASSERT_EQ(taken.answers.size(), 101u);
  // Each its own.
  Timestamp next = *taken.answers[1];
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(*taken.answers[i + 1], next);
    next = next + (i % 3 + 1);
  }
}

TEST_F(OracleClientTest, WhoComesWhileARequestIsUnderWayIsNotServedByIt) {
  Take(two);
  Taken elsewhere;
  // The leader answers; its answer is on its way.
  raft::PeerMessage request = std::move(wire.queue.front());
  wire.queue.pop_front();
  one.calls.OnCall(NodeId(2), std::get<raft::Call>(std::move(request.payload)));
  one.server.Take(1, {}, elsewhere.Sink());
  Take(two);
  wire.Deliver();
  ASSERT_EQ(taken.answers.size(), 2u);
  EXPECT_LT(*taken.answers[0], elsewhere.last());
  EXPECT_GT(*taken.answers[1], elsewhere.last());
}

TEST_F(OracleClientTest, ManyAtOnceAreAskedForInSeveralRequests) {
  for (int i = 0; i < 3; ++i) Take(two, kTimestampsTakenMax);
  wire.Deliver();
  EXPECT_EQ(wire.requests, 3);
  std::set<Timestamp> firsts;
  for (const auto& answer : taken.answers) firsts.insert(answer.value_or(Timestamp()));
  EXPECT_EQ(firsts.size(), 3u);
}

TEST_F(OracleClientTest, TurnsToTheNextLeader) {
  one.directory.leads = false;
  Take(two);
  wire.Deliver();
  EXPECT_TRUE(taken.answers.empty());
  leader = NodeId(2);
  two.client.OnLeader();
  EXPECT_TRUE(taken.last());
}

TEST_F(OracleClientTest, AsksAgainWhenALeaderDoesNotAnswer) {
  Take(two);
  wire.queue.clear();  // lost
  RunFor(milliseconds(500));
  EXPECT_TRUE(taken.last());
  EXPECT_EQ(wire.requests, 2);
}

TEST_F(OracleClientTest, ADeposedLeadersOwnNodeAsksItsSuccessor) {
  one.directory.leads = false;  // it does not know of another yet
  Take(one);
  EXPECT_TRUE(taken.answers.empty());
  leader = NodeId(2);
  RunFor(milliseconds(20));
  EXPECT_TRUE(taken.last());
}

TEST_F(OracleClientTest, GivesUpAtTheDeadline) {
  leader = NodeId();
  Take(two, 1, milliseconds(100));
  RunFor(milliseconds(90));
  EXPECT_TRUE(taken.answers.empty());
  RunFor(milliseconds(30));
  EXPECT_EQ(taken.reason(), Reason::kNoQuorum);
}

TEST_F(OracleClientTest, SaysSoWhenTheDisksAreFull) {
  one.directory.at_once = false;
  Take(two, 1, milliseconds(100));
  wire.Deliver();
  one.directory.ConfirmAll();
  ASSERT_EQ(one.directory.moves.size(), 1u);
  loop.RunFor(milliseconds(100));
  one.directory.moves.front().second(Error(Reason::kDiskFull, "no room"));
  wire.Deliver();
  EXPECT_EQ(taken.reason(), Reason::kDiskFull);
}

TEST_F(OracleClientTest, AStopTurnsAwayWhoWaitsAndWhoComesLater) {
  leader = NodeId();
  Take(two);
  two.client.Stop();
  EXPECT_EQ(taken.reason(), Reason::kNodeStopping);
  leader = NodeId(1);
  Take(two);
  EXPECT_EQ(taken.answers.size(), 2u);
  EXPECT_EQ(taken.reason(), Reason::kNodeStopping);
}

TEST(OracleCodec, CarriesAnswersAndErrors) {
  const auto request =
      DecodeTimestampRequest(EncodeTimestampRequest({.count = 300, .term = raft::Term(9)}));
  EXPECT_EQ(request->count, 300u);
  EXPECT_EQ(request->term, raft::Term(9));
  EXPECT_EQ(*DecodeTimestampAnswer(EncodeTimestampAnswer(Timestamp(77))), Timestamp(77));
  const StatusOr<Timestamp> error =
      DecodeTimestampAnswer(EncodeTimestampAnswer(Error(Reason::kDiskFull, "no room")));
  EXPECT_EQ(ReasonOf(error.status()), Reason::kDiskFull);
  EXPECT_EQ(MessageOf(error.status()), "no room");
}

TEST(OracleCodec, RefusesWhatIsMalformed) {
  EXPECT_FALSE(DecodeTimestampRequest("").ok());
  EXPECT_FALSE(DecodeTimestampRequest(std::string("\1\1\1", 3)).ok());
  const std::string whole = EncodeTimestampAnswer(Timestamp(77));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(ReasonOf(DecodeTimestampAnswer(whole.substr(0, size)).status()), Reason::kBadRequest);
  }
  EXPECT_FALSE(DecodeTimestampAnswer(whole + "x").ok());
}

}  // namespace
}  // namespace flotilla
