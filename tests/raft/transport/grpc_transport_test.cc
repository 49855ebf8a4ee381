// Two transports on loopback: what arrives, in which order, and what is dropped.
#include "raft/transport/grpc_transport.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <numeric>
#include <thread>

#include "base/turn.h"
#include "tests/raft/transport/transport_node.h"

namespace flotilla::raft {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr NodeId kA{1};
constexpr NodeId kB{2};

PeerMessage CallTo(NodeId to, std::size_t bytes, bool bulk) {
  return {.from = kA,
          .to = to,
          .payload = Call{.id = 1,
                          .answer = false,
                          .method = 4,
                          .bulk = bulk,
                          .body = Bytes(std::string(bytes, 'b'))}};
}

TEST(GrpcTransport, MessagesArriveInTheOrderOfTheirSending) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  constexpr std::uint64_t kMessages = 20'000;
  for (std::uint64_t number = 1; number <= kMessages;) {
    std::vector<PeerMessage> together;
    for (std::uint64_t i = 0; i <= number % 7 && number <= kMessages; ++i) {
      together.push_back(a.Numbered(kB, number++));
    }
    a.transport().Send(std::move(together));
  }
  b.WaitForNumber(kMessages);
  std::vector<std::uint64_t> all(kMessages);
  std::iota(all.begin(), all.end(), 1);
  EXPECT_EQ(b.numbers, all);
  EXPECT_EQ(a.transport().dropped(), 0u);
}

// Unless a write of before is still under way, behind which the first of them leaves.
TEST(GrpcTransport, MessagesOfOneTurnArriveTogether) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  std::uint64_t number = 1;
  a.Send(kB, number);
  b.WaitForNumber(number);
  bool together = false;
  for (int round = 0; round < 20 && !together; ++round) {
    const int before = b.deliveries;
    {
      const GatheringTurn turn;
      for (int i = 0; i < 3; ++i) {
        a.Send(kB, ++number);
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
    b.WaitForNumber(number);
    together = b.deliveries == before + 1;
  }
  EXPECT_TRUE(together);
}

TEST(GrpcTransport, BothDirectionsAndLargeBodiesWork) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  b.Dial(a);
  b.Send(kA, 7);
  a.WaitForNumber(7);
  a.transport().Send({CallTo(kB, 70 << 20, false)});
  b.WaitUntil([&] { return b.others.size() == 1; });
  const auto& call = std::get<Call>(b.others.at(0).payload);
  EXPECT_EQ(call.body.size(), 70u << 20);
  EXPECT_EQ(call.method, 4u);
  EXPECT_EQ(b.others.at(0).from, kA);
}

TEST(GrpcTransport, PartsOfSnapshotsArriveBesideTheRest) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  for (std::uint64_t number = 1; number <= 20; ++number) {
    a.transport().Send({CallTo(kB, 1 << 20, true), a.Numbered(kB, number)});
  }
  b.WaitUntil([&] { return b.others.size() == 20 && b.numbers.size() == 20; });
}

PeerMessage Entries(std::uint64_t index, std::size_t bytes) {
  AppendRequest append;
  append.entries = {{.term = Term(1),
                     .index = Index(index),
                     .kind = EntryKind::kCommand,
                     .payload = Bytes(std::string(bytes, 'e'))}};
  append.previous_index = Index(index - 1);
  return {.from = kA,
          .to = kB,
          .payload = GroupMessage{
              .group = GroupId(2),
              .message = {.from = kA, .to = kB, .term = Term(1), .body = std::move(append)}}};
}

// A leader whose heartbeats wait behind the largest batch is deposed before it is replicated.
TEST(GrpcTransport, HeartbeatsDoNotWaitBehindLargeMessages) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  a.WaitUntil([&] { return a.reachable == 2; });  // both streams
  for (const PeerMessage& large : {Entries(1, 60 << 20), CallTo(kB, 60 << 20, false)}) {
    b.WaitUntil([&] {
      b.numbers.clear();
      b.others.clear();
      return true;
    });
    a.transport().Send({large});
    a.Send(kB, 1);
    b.WaitUntil([&] { return b.numbers.size() == 1; });
    b.WaitUntil([&] {
      EXPECT_THAT(b.others, SizeIs(0)) << "it came first";
      return true;
    });
    b.WaitUntil([&] { return b.others.size() == 1; });
  }
}

TEST(GrpcTransport, EntriesKeepTheirOrderBehindALargeOne) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  a.WaitUntil([&] { return a.reachable == 2; });
  constexpr std::uint64_t kEntries = 200;
  for (std::uint64_t index = 1; index <= kEntries; ++index) {
    const bool large = index % 20 == 3;
    if (large) b.WaitUntil([&] { return b.others.size() == index - 1; });
    a.transport().Send({Entries(index, large ? 6 << 20 : 100)});
  }
  b.WaitUntil([&] { return b.others.size() == kEntries; });
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    const auto& group = std::get<GroupMessage>(b.others[i].payload);
    EXPECT_EQ(std::get<AppendRequest>(group.message.body).previous_index, Index(i));
  }
}

// Accepts connections and says nothing: a stream to it never comes up, and never breaks.
class SilentPeer {
 public:
  SilentPeer() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  ~SilentPeer() { close(fd_); }
  const std::string& address() const { return address_; }

 private:
  int fd_;
  std::string address_;
};

TEST(GrpcTransport, AFullQueueOfMessagesDropsInsteadOfBlocking) {
  const SilentPeer silent;
  TransportNode a({.self = kA, .link = {.queue_messages_max = 10}});
  a.Dial(kB, silent.address());
  for (std::uint64_t number = 0; number < 1000; ++number) a.Send(kB, number);
  EXPECT_EQ(a.transport().dropped(), 990u);
}

TEST(GrpcTransport, AFullQueueOfBytesDropsInsteadOfBlocking) {
  const SilentPeer silent;
  TransportNode a({.self = kA, .link = {.queue_bytes_max = 1 << 20}});
  a.Dial(kB, silent.address());
  for (int i = 0; i < 100; ++i) a.transport().Send({CallTo(kB, 300 << 10, false)});
  EXPECT_EQ(a.transport().dropped(), 97u);
  // The bulk stream has a queue of its own.
  a.transport().Send({CallTo(kB, 300 << 10, true)});
  EXPECT_EQ(a.transport().dropped(), 97u);
}

TEST(GrpcTransport, AMessageThatNoPeerWouldTakeIsDroppedAndTheStreamLives) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  a.transport().Send({a.Numbered(kB, 1), CallTo(kB, kPeerMessageBytesMax, false)});
  a.Send(kB, 2);
  b.WaitForNumber(2);
  EXPECT_THAT(b.others, SizeIs(0));
  EXPECT_EQ(a.transport().dropped(), 1u);
  EXPECT_EQ(a.unreachable, 0);
}

TEST(GrpcTransport, UnknownNodesAreDroppedSilently) {
  TransportNode a(kA);
  a.Send(NodeId(9), 1);
  TransportNode b(kB);
  a.Dial(b);
  a.transport().Send({a.Numbered(NodeId(9), 1), a.Numbered(kB, 2)});
  b.WaitForNumber(2);
}

TEST(GrpcTransport, ANodeThatIsNoPeerAnyMoreGetsNothing) {
  TransportNode a(kA);
  TransportNode b(kB);
  TransportNode c(NodeId(3));
  a.transport().SetPeers({{kB, b.address()}, {NodeId(3), c.address()}});
  a.transport().Send({a.Numbered(kB, 1), a.Numbered(NodeId(3), 1)});
  b.WaitForNumber(1);
  c.WaitForNumber(1);
  a.transport().SetPeers({{NodeId(3), c.address()}});
  a.transport().Send({a.Numbered(kB, 2), a.Numbered(NodeId(3), 2)});
  c.WaitForNumber(2);
  EXPECT_THAT(b.numbers, testing::ElementsAre(1));
}

TEST(GrpcTransport, AStreamComesBackWhenThePeerDoes) {
  TransportNode a(kA);
  auto b = std::make_unique<TransportNode>(kB);
  const int port = b->port();
  a.Dial(*b);
  a.Send(kB, 1);
  b->WaitForNumber(1);
  a.WaitUntil([&] { return a.reachable >= 1; });
  for (int restart = 0; restart < 3; ++restart) {
    const int before = a.unreachable;
    b = nullptr;
    // Sending goes on all the while, as a leader's heartbeats do: a write finds out that a stream
    // is gone, but not always the first one.
    a.WaitUntil([&] {
      a.Send(kB, 0);
      return a.unreachable > before;
    });
    const int reachable = a.reachable;
    b = std::make_unique<TransportNode>(
        TransportNode::Options{.self = kB, .port = port, .link = {}});
    a.WaitUntil([&] { return a.reachable > reachable; });
    // That may have been the stream for parts of snapshots.
    b->WaitUntil([&] {
      a.Send(kB, 2);
      return !b->numbers.empty() && b->numbers.back() == 2;
    });
  }
}

TEST(GrpcTransport, APeerThatMovesIsDialledAtItsNewAddress) {
  TransportNode a(kA);
  auto b = std::make_unique<TransportNode>(kB);
  a.Dial(*b);
  a.Send(kB, 1);
  b->WaitForNumber(1);
  b = std::make_unique<TransportNode>(kB);
  a.Dial(*b);
  a.Send(kB, 2);
  b->WaitForNumber(2);
}

TEST(GrpcTransport, ALostPeerIsSaidOnceInTheLog) {
  TransportNode a(kA);
  {
    TransportNode b(kB);
    a.Dial(b);
    a.Send(kB, 1);
    b.WaitForNumber(1);
  }
  // Every failed attempt is reported to the handler, and one of them to people.
  a.Send(kB, 2);
  a.WaitUntil([&] { return a.unreachable >= 6; });
  const std::string log = a.Log();
  EXPECT_LE(std::count(log.begin(), log.end(), '\n'), 2) << log;
  EXPECT_THAT(log, HasSubstr("node 2 at 127.0.0.1:"));
}

StatusOr<Bytes> CallAddress(TransportNode& node, const std::string& address,
                            Duration timeout = std::chrono::seconds(20)) {
  std::promise<StatusOr<Bytes>> promise;
  node.transport().CallAddress(
      address, 5, Bytes(std::string("ask")), timeout,
      [&](StatusOr<Bytes> answer) { promise.set_value(std::move(answer)); });
  return promise.get_future().get();
}

TEST(GrpcTransport, AnAddressIsAskedWithoutKnowingItsNode) {
  TransportNode a({.self = NodeId(0), .link = {}, .started = false});
  TransportNode b({.self = NodeId(0), .link = {}, .started = false});
  b.transport().SetAddressCallHandler([](std::uint32_t method, Bytes body, auto reply) {
    reply(Bytes(std::to_string(method) + std::string(body.view())));
  });
  const StatusOr<Bytes> answer = CallAddress(a, b.address());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->view(), "5ask");
}

TEST(GrpcTransport, AnAddressThatRefusesOrDoesNotExistSaysSo) {
  TransportNode a(kA);
  TransportNode b(kB);
  b.transport().SetAddressCallHandler(
      [](std::uint32_t, Bytes, auto reply) { reply(Error(Reason::kNotReady, "still forming")); });
  const Status refused = CallAddress(a, b.address()).status();
  EXPECT_THAT(MessageOf(refused), HasSubstr("still forming"));
  EXPECT_THAT(MessageOf(refused), HasSubstr(b.address()));

  b.StopServer();
  const Status gone = CallAddress(a, b.address()).status();
  EXPECT_EQ(ReasonOf(gone), Reason::kUnreachable);
  EXPECT_THAT(MessageOf(gone), HasSubstr(b.address()));
}

TEST(GrpcTransport, AnAddressThatNeverAnswersEndsWithTheDeadline) {
  const SilentPeer silent;
  TransportNode a(kA);
  EXPECT_EQ(ReasonOf(CallAddress(a, silent.address(), std::chrono::milliseconds(50)).status()),
            Reason::kDeadlineExceeded);
}

TEST(GrpcTransport, AHandlerThatDropsItsReplyAnswersAtOnce) {
  TransportNode a(kA);
  TransportNode b(kB);
  EXPECT_EQ(ReasonOf(CallAddress(a, b.address()).status()), Reason::kUnreachable);
  b.transport().SetAddressCallHandler([](std::uint32_t, Bytes, auto) {});
  EXPECT_EQ(ReasonOf(CallAddress(a, b.address()).status()), Reason::kUnreachable);
}

TEST(GrpcTransport, AStoppedTransportAsksNobody) {
  TransportNode a(kA);
  a.transport().Stop();
  EXPECT_EQ(ReasonOf(CallAddress(a, "127.0.0.1:1").status()), Reason::kNodeStopping);
}

}  // namespace
}  // namespace flotilla::raft
