// Who does not belong is turned away, with a word that says why, and without a flood of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/transport/codec.h"
#include "tests/raft/transport/transport_node.h"

namespace flotilla::raft {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr NodeId kA{1};
constexpr NodeId kB{2};

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

// Lets the link be refused a few times.
void ExpectTurnedAway(TransportNode& a, TransportNode& b) {
  a.WaitUntil([&] { return a.unreachable >= 5; });
  a.Send(kB, 1);
  EXPECT_EQ(a.reachable, 0);
  EXPECT_THAT(b.numbers, IsEmpty());
  EXPECT_EQ(Count(a.Log(), "WRONG_CLUSTER"), 1) << a.Log();
  EXPECT_EQ(Count(b.Log(), "WRONG_CLUSTER"), 1) << b.Log();
  EXPECT_THAT(a.Log(), HasSubstr("warning: node 2 at " + b.address()));
  EXPECT_THAT(a.Log(), HasSubstr("check the addresses"));
}

TEST(Strangers, AnotherClusterIsTurnedAway) {
  TransportNode a(kA);
  TransportNode b({.self = kB, .cluster = ClusterId(0xdead), .link = {}});
  a.Dial(b);
  ExpectTurnedAway(a, b);
  EXPECT_THAT(a.Log(), HasSubstr("node 2 of cluster 000000000000dead"));
}

TEST(Strangers, AnAddressWithAnotherNodeBehindItIsTurnedAway) {
  TransportNode a(kA);
  TransportNode b(NodeId(3));
  a.Dial(kB, b.address());
  ExpectTurnedAway(a, b);
  EXPECT_THAT(a.Log(), HasSubstr("this is node 3"));
}

TEST(Strangers, ANodeThatDialsItselfIsTurnedAway) {
  TransportNode a(kA);
  a.Dial(kA, a.address());
  a.WaitUntil([&] { return a.unreachable >= 3; });
  EXPECT_EQ(a.reachable, 0);
}

TEST(Strangers, ANodeThatIsNoMemberYetIsReachedOnceItIs) {
  TransportNode a(kA);
  TransportNode b({.self = kB, .link = {}, .started = false});
  a.Dial(b);
  a.WaitUntil([&] { return a.unreachable >= 2; });
  EXPECT_EQ(a.reachable, 0);
  b.Start();
  a.WaitUntil([&] { return a.reachable == 1; });
  a.Send(kB, 1);
  b.WaitForNumber(1);
}

// A client by hand.
class Exchange {
 public:
  explicit Exchange(const TransportNode& to)
      : stub_(internal::Peer::NewStub(
            grpc::CreateChannel(to.address(), grpc::InsecureChannelCredentials()))),
        writer_(stub_->Exchange(&context_, &reply_)) {}

  static internal::PeerBatch Hello(std::uint32_t version = kPeerProtocolVersion) {
    internal::PeerBatch batch;
    batch.mutable_hello()->set_cluster_id(kCluster.value());
    batch.mutable_hello()->set_from(1);
    batch.mutable_hello()->set_to(2);
    batch.mutable_hello()->set_version(version);
    return batch;
  }
  void Write(const internal::PeerBatch& batch) { writer_->Write(batch); }
  grpc::Status Finish() {
    writer_->WritesDone();
    return writer_->Finish();
  }

 private:
  std::unique_ptr<internal::Peer::Stub> stub_;
  grpc::ClientContext context_;
  internal::ExchangeReply reply_;
  std::unique_ptr<grpc::ClientWriter<internal::PeerBatch>> writer_;
};

TEST(Strangers, AStreamMustSayWhoItIs) {
  TransportNode b(kB);
  Exchange silent(b);
  silent.Write(internal::PeerBatch());
  EXPECT_FALSE(silent.Finish().ok());
  Exchange future(b);
  future.Write(Exchange::Hello(kPeerProtocolVersion + 1));
  const grpc::Status status = future.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("version 1 of the peer protocol, not 2"));
}

TEST(Strangers, AMalformedBatchIsDroppedAloneAndSaidOnce) {
  TransportNode a(kA);
  TransportNode b(kB);
  Exchange stream(b);
  stream.Write(Exchange::Hello());
  internal::PeerBatch bad;
  bad.add_messages()->set_group_id(2);  // of no kind
  for (int i = 0; i < 100; ++i) stream.Write(bad);
  internal::PeerBatch good;
  AddToBatch(a.Numbered(kB, 7), good);
  stream.Write(good);
  b.WaitForNumber(7);
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(Count(b.Log(), "malformed"), 1) << b.Log();
}

TEST(Strangers, TheFirstBatchMayBringMessagesWithItsHello) {
  TransportNode a(kA);
  TransportNode b(kB);
  Exchange stream(b);
  internal::PeerBatch batch = Exchange::Hello();
  AddToBatch(a.Numbered(kB, 1), batch);
  stream.Write(batch);
  b.WaitForNumber(1);
  EXPECT_TRUE(stream.Finish().ok());
}

}  // namespace
}  // namespace flotilla::raft
