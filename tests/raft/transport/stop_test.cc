// Stopping, with everything under way: it ends, nothing runs afterwards, and nothing aborts.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "tests/raft/transport/transport_node.h"

namespace flotilla::raft {
namespace {

constexpr NodeId kA{1};
constexpr NodeId kB{2};

// Sends on both streams, and asks the address, until it is destroyed.
class Traffic {
 public:
  Traffic(TransportNode& from, const TransportNode& to, NodeId to_node)
      : thread_([this, &from, address = to.address(), to_node] {
          const Bytes body(std::string(10'000, 'b'));
          const Bytes large(std::string(3 << 20, 'l'));
          std::uint64_t rounds = 0;
          std::uint64_t number = 0;
          while (!ended_) {
            std::vector<PeerMessage> messages;
            for (int i = 0; i < 20; ++i) messages.push_back(from.Numbered(to_node, ++number));
            messages.push_back({.from = NodeId(1),
                                .to = to_node,
                                .payload = Call{.id = 1,
                                                .answer = false,
                                                .method = 1,
                                                .bulk = rounds % 2 == 0,
                                                .body = ++rounds % 50 == 1 ? large : body}});
            from.transport().Send(std::move(messages));
            std::this_thread::yield();
            if (*asked_ < 100) {
              ++*asked_;
              from.transport().CallAddress(address, 1, body, std::chrono::seconds(5),
                                           [asked = asked_](const StatusOr<Bytes>&) { --*asked; });
            }
          }
        }) {}
  ~Traffic() { End(); }
  void End() {
    ended_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<bool> ended_ = false;
  // Shared with calls whose answers come after this object.
  const std::shared_ptr<std::atomic<int>> asked_ = std::make_shared<std::atomic<int>>(0);
  std::thread thread_;
};

// Every order in which two nodes may go; a channel of gRPC must never end on a thread of its own.
TEST(StopTransport, UnderTrafficManyTimesInEveryOrder) {
  for (int round = 0; round < 40; ++round) {
    TransportNode a(kA);
    TransportNode b(kB);
    b.transport().SetAddressCallHandler(
        [](std::uint32_t, Bytes body, auto reply) { reply(std::move(body)); });
    a.Dial(b);
    b.Dial(a);
    Traffic there(a, b, kB);
    Traffic back(b, a, kA);
    b.WaitUntil([&] { return b.numbers.size() > 50; });
    switch (round % 4) {
      case 0:
        a.transport().Stop();
        b.transport().Stop();
        break;
      case 1:  // the servers first: only channels are left on gRPC's threads
        a.StopServer();
        b.StopServer();
        break;
      case 2:
        b.StopServer();
        a.transport().Stop();
        break;
      case 3:  // both forget each other
        a.transport().SetPeers({});
        b.transport().SetPeers({});
        break;
    }
    there.End();
    back.End();
  }
}

TEST(StopTransport, AloneAndNeverConnected) {
  for (int round = 0; round < 60; ++round) {
    TransportNode a(kA);
    a.StopServer();
    a.Dial(kB, "127.0.0.1:1");
    a.Send(kB, 1);
    if (round % 2 == 0) a.WaitUntil([&] { return a.unreachable >= 1; });
    a.StopTransport();
  }
}

TEST(StopTransport, NoHandlerRunsAfterwards) {
  TransportNode a(kA);
  TransportNode b(kB);
  a.Dial(b);
  b.Dial(a);
  Traffic there(a, b, kB);
  b.WaitUntil([&] { return b.numbers.size() > 100; });
  b.transport().Stop();
  const std::size_t numbers = b.numbers.size();
  const std::size_t others = b.others.size();
  const int unreachable = b.unreachable;
  const int reachable = b.reachable;
  // Another message makes it to the stopped node's server, which still reads.
  a.WaitUntil([&, before = a.unreachable] { return a.unreachable >= before; });
  there.End();
  b.StopServer();
  EXPECT_EQ(b.numbers.size(), numbers);
  EXPECT_EQ(b.others.size(), others);
  EXPECT_EQ(b.unreachable, unreachable);
  EXPECT_EQ(b.reachable, reachable);
}

TEST(StopTransport, CallsToAddressesAreAnsweredFirst) {
  std::atomic<int> answered = 0;
  {
    TransportNode a(kA);
    TransportNode b(kB);
    b.transport().SetAddressCallHandler(
        [](std::uint32_t, Bytes body, auto reply) { reply(std::move(body)); });
    for (int i = 0; i < 200; ++i) {
      a.transport().CallAddress(b.address(), 1, Bytes(std::string("x")), std::chrono::seconds(5),
                                [&](const StatusOr<Bytes>&) { ++answered; });
    }
    a.StopTransport();
    EXPECT_EQ(answered, 200);
  }
}

}  // namespace
}  // namespace flotilla::raft
