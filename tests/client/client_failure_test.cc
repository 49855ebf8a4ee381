// The client against a network that fails: redirects, retries, deadlines, unknown outcomes, ends.
#include <gtest/gtest.h>

#include "client/client.h"
#include "client/errors.h"
#include "tests/client/fake_world.h"

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ClientFailureTest : public testing::Test {
 protected:
  // Starts a put; the connection is up and has it.
  FakeConnection& PutOnTheWay(ClientOptions options = {}) {
    if (options.endpoints.empty()) options.endpoints = {"a:1"};
    client = world.NewClient(std::move(options));
    client->PutAsync("k", "v", {}, put.Into());
    world.last().Accept();
    world.last().Flush();
    return world.last();
  }
  const v1::Request& Sent() { return world.last().batches.back().requests(0); }

  FakeWorld world;
  std::unique_ptr<Client> client;
  Result<PutResult> put;
};

TEST_F(ClientFailureTest, NotLeaderGoesStraightToTheLeaderWithTheSameNumber) {
  FakeConnection& first = PutOnTheWay();
  const v1::Request sent = Sent();
  first.Fail(sent, Error(Reason::kNotLeader, "x", {{"leader_address", "b:2"}}));
  ASSERT_EQ(world.connector.connections.size(), 2u);
  EXPECT_EQ(world.last().address, "b:2");
  world.last().Accept();
  EXPECT_EQ(Sent().put().header().sequence(), sent.put().header().sequence());
  EXPECT_EQ(Sent().put().header().client_id(), sent.put().header().client_id());
  world.last().Ok(Sent());
  EXPECT_TRUE(put.done() && put.answer().ok());
  // The leader is remembered.
  world.last().Flush();
  client->GetAsync("k", {}, [](StatusOr<GetResult>) {});
  EXPECT_TRUE(Sent().has_get());
}

TEST_F(ClientFailureTest, LearnsTheLeaderFromForwardedAnswers) {
  FakeConnection& first = PutOnTheWay();
  first.Ok(Sent(), /*node=*/3);
  ASSERT_EQ(world.connector.member_questions.size(), 1u);
  EXPECT_EQ(world.connector.member_questions[0].first, "a:1");
  world.connector.member_questions[0].second(
      std::vector<MemberAddress>{{NodeId(1), "a:1"}, {NodeId(3), "c:3"}});
  Result<PutResult> next;
  client->PutAsync("k", "v", {}, next.Into());
  EXPECT_EQ(world.last().address, "c:3");
}

TEST_F(ClientFailureTest, ARefusedEndpointIsPassedOver) {
  client = world.NewClient({.endpoints = {"a:1", "b:1"}});
  client->PutAsync("k", "v", {}, put.Into());
  const std::string refused = world.last().address;
  world.last().Break("Connection refused");
  ASSERT_EQ(world.connector.connections.size(), 2u);
  EXPECT_NE(world.last().address, refused);
  world.last().Accept();
  world.last().Ok(Sent());
  EXPECT_TRUE(put.answer().ok());
}

TEST_F(ClientFailureTest, AConnectionThatNeverComesUpIsGivenUp) {
  client = world.NewClient({.endpoints = {"a:1", "b:1"}, .connection_timeout = seconds(1)});
  client->PutAsync("k", "v", {}, put.Into());
  const auto first = world.connector.connections[0];
  world.executor.Advance(milliseconds(1100));
  EXPECT_TRUE(first->close_asked);
  ASSERT_EQ(world.connector.connections.size(), 2u);
  EXPECT_NE(world.last().address, first->address);
  first->Break("cancelled");
  world.last().Accept();
  world.last().Ok(Sent());
  EXPECT_TRUE(put.answer().ok());
}

TEST_F(ClientFailureTest, WaitsForANodeToComeUp) {
  client = world.NewClient({.endpoints = {"a:1"}});
  client->PutAsync("k", "v", {}, put.Into());
  for (int i = 0; i < 5; ++i) {
    world.last().Break("Connection refused");
    world.executor.Advance(seconds(1));
  }
  EXPECT_FALSE(put.done());
  EXPECT_EQ(world.connector.connections.size(), 6u);
  world.last().Accept();
  world.last().Ok(Sent());
  EXPECT_TRUE(put.answer().ok());
}

TEST_F(ClientFailureTest, FailsAtOnceWhenToldNotToWait) {
  client = world.NewClient({.endpoints = {"a:1", "b:1"}, .wait_for_ready = false});
  client->PutAsync("k", "v", {}, put.Into());
  world.last().Break("Connection refused");
  EXPECT_FALSE(put.done());
  world.last().Break("Connection refused");
  ASSERT_TRUE(put.done());
  EXPECT_EQ(put.reason(), Reason::kUnreachable);
  EXPECT_NE(MessageOf(put.answer().status()).find("a:1: Connection refused"), std::string::npos);
  EXPECT_NE(MessageOf(put.answer().status()).find("b:1: Connection refused"), std::string::npos);
}

TEST_F(ClientFailureTest, ABrokenConnectionSendsItsCallsElsewhereWithTheSameNumbers) {
  FakeConnection& first = PutOnTheWay({.endpoints = {"a:1", "b:1"}});
  const v1::Request sent = Sent();
  first.Break("reset");
  ASSERT_EQ(world.connector.connections.size(), 2u);
  world.last().Accept();
  EXPECT_EQ(Sent().put().header().sequence(), sent.put().header().sequence());
  EXPECT_EQ(Sent().put().value(), "v");
  EXPECT_NE(Sent().id(), sent.id());
  world.last().Ok(Sent());
  EXPECT_TRUE(put.answer().ok());
}

TEST_F(ClientFailureTest, SafeErrorsAreRetriedAfterABackOff) {
  FakeConnection& connection = PutOnTheWay();
  connection.Fail(Sent(), Error(Reason::kOverloaded, "x"));
  EXPECT_EQ(connection.batches.size(), 1u);
  world.executor.Advance(milliseconds(20));
  ASSERT_EQ(connection.batches.size(), 2u);
  EXPECT_EQ(Sent().put().header().sequence(), 1u);
  connection.Ok(Sent());
  EXPECT_TRUE(put.answer().ok());
}

TEST_F(ClientFailureTest, WhatAClusterHasNoRoomForWaitsHere) {
  FakeConnection& connection = PutOnTheWay();
  int answered = 0;
  for (int i = 0; i < 199; ++i) {
    client->PutAsync("k", "v", {}, [&](const StatusOr<PutResult>& result) {
      EXPECT_TRUE(result.ok());
      ++answered;
    });
  }
  // A node that has room for fifty, and does what it has accepted before the next message comes.
  int refusals = 0;
  std::size_t looked_at = 0;
  for (int round = 0; round < 100 && answered < 199; ++round) {
    std::vector<v1::Request> sent;
    for (; looked_at < connection.batches.size(); ++looked_at) {
      const auto& requests = connection.batches[looked_at].requests();
      sent.insert(sent.end(), requests.begin(), requests.end());
    }
    v1::PipelineResponse answers;
    for (std::size_t i = 0; i < sent.size(); ++i) {
      *answers.add_responses() = Answer(sent[i], 1);
      if (i < 50) continue;
      ++refusals;
      v1::Response& refusal = *answers.mutable_responses(static_cast<int>(i));
      refusal.clear_response();
      ToWire(Error(Reason::kOverloaded, "x"), refusal.mutable_error());
    }
    connection.Respond(std::move(answers));
    world.executor.Advance(milliseconds(20));
    if (connection.unsent) connection.Flush();
  }
  EXPECT_EQ(answered, 199);
  EXPECT_LT(refusals, 199);
}

TEST_F(ClientFailureTest, AStoppingNodeIsLeftForAnother) {
  FakeConnection& first = PutOnTheWay({.endpoints = {"a:1", "b:1"}});
  const std::string stopping = first.address;
  first.Fail(Sent(), Error(Reason::kNodeStopping, "x"));
  world.executor.Advance(milliseconds(20));
  ASSERT_EQ(world.connector.connections.size(), 2u);
  EXPECT_NE(world.last().address, stopping);
}

TEST_F(ClientFailureTest, AWriteWhoseDeadlinePassesOnItsWayIsUnknown) {
  PutOnTheWay({.timeout = seconds(1), .stall_timeout = seconds(100)});
  world.executor.Advance(milliseconds(990));
  EXPECT_FALSE(put.done());
  world.executor.Advance(milliseconds(20));
  ASSERT_TRUE(put.done());
  EXPECT_EQ(put.reason(), Reason::kOutcomeUnknown);
}

TEST_F(ClientFailureTest, AReadWhoseDeadlinePassesHasJustFailed) {
  client = world.NewClient({.endpoints = {"a:1"}});
  Result<GetResult> get;
  client->GetAsync("k", {.timeout = milliseconds(100)}, get.Into());
  world.last().Accept();
  world.executor.Advance(milliseconds(110));
  EXPECT_EQ(get.reason(), Reason::kDeadlineExceeded);
}

TEST_F(ClientFailureTest, AWriteThatNeverLeftSurelyDidNotHappen) {
  client = world.NewClient({.endpoints = {"a:1"}, .timeout = seconds(1)});
  client->PutAsync("k", "v", {}, put.Into());
  world.executor.Advance(milliseconds(1010));
  EXPECT_EQ(put.reason(), Reason::kDeadlineExceeded);
}

TEST_F(ClientFailureTest, AtTheDeadlineTheLastErrorIsTold) {
  FakeConnection& connection = PutOnTheWay({.timeout = seconds(1)});
  for (int i = 0; i < 100 && !put.done(); ++i) {
    if (connection.unsent) {
      connection.Flush();
      connection.Fail(Sent(), Error(Reason::kNoQuorum, "group 2 has no leader"));
    } else if (i == 0) {
      connection.Fail(Sent(), Error(Reason::kNoQuorum, "group 2 has no leader"));
    }
    world.executor.Advance(milliseconds(50));
  }
  ASSERT_TRUE(put.done());
  EXPECT_EQ(put.reason(), Reason::kNoQuorum);
  EXPECT_NE(MessageOf(put.answer().status()).find("group 2 has no leader"), std::string::npos);
}

TEST_F(ClientFailureTest, OnceInDoubtOnlyAnAnswerToThatNumberSettlesIt) {
  FakeConnection& first = PutOnTheWay({.timeout = seconds(1)});
  first.Break("reset");  // it may have arrived
  world.executor.Advance(milliseconds(100));
  world.last().Accept();
  world.last().Flush();
  world.last().Fail(Sent(), Error(Reason::kNoQuorum, "x"));  // this attempt did nothing; the first?
  world.executor.Advance(seconds(2));
  EXPECT_EQ(put.reason(), Reason::kOutcomeUnknown);
}

TEST_F(ClientFailureTest, AFailedConditionSettlesAWriteInDoubt) {
  client = world.NewClient({.endpoints = {"a:1"}});
  Result<CompareAndSetResult> cas;
  client->CompareAndSetAsync("k", Condition::Absent(), "v", {}, cas.Into());
  world.last().Accept();
  world.last().Break("reset");
  world.executor.Advance(milliseconds(100));
  world.last().Accept();
  world.last().Fail(Sent(), Error(Reason::kConditionFailed, "x", {{"actual_version", "5"}}));
  ASSERT_TRUE(cas.done());
  EXPECT_EQ(cas.reason(), Reason::kConditionFailed);
  EXPECT_EQ(MetadataOf(cas.answer().status()).at("actual_version"), "5");
}

TEST_F(ClientFailureTest, AnUnknownOutcomeFromTheServerIsAskedForAgain) {
  FakeConnection& connection = PutOnTheWay();
  connection.Fail(Sent(), Error(Reason::kOutcomeUnknown, "the leader changed"));
  EXPECT_FALSE(put.done());
  world.executor.Advance(milliseconds(20));
  ASSERT_EQ(connection.batches.size(), 2u);
  EXPECT_EQ(Sent().put().header().sequence(), 1u);
  connection.Ok(Sent());
  EXPECT_TRUE(put.answer().ok());
}

TEST_F(ClientFailureTest, AnAbandonedWriteIsAcknowledgedToo) {
  FakeConnection& connection = PutOnTheWay({.timeout = seconds(1), .stall_timeout = seconds(100)});
  world.executor.Advance(seconds(2));
  ASSERT_EQ(put.reason(), Reason::kOutcomeUnknown);
  Result<PutResult> next;
  client->PutAsync("k", "v", {}, next.Into());
  EXPECT_EQ(connection.batches.back().requests(0).put().header().acknowledged_below(), 2u);
}

TEST_F(ClientFailureTest, AForgottenSessionIsFollowedByANewOne) {
  FakeConnection& connection = PutOnTheWay();
  const v1::Request sent = Sent();
  Result<PutResult> second;
  client->PutAsync("k2", "v", {}, second.Into());
  const v1::Request sent2 = Sent();
  connection.Flush();
  // Sent once and refused: neither was done.
  const ErrorMetadata now{{"timestamp", "5000"}};
  connection.Fail(sent, Error(Reason::kSessionExpired, "x", now));
  connection.Flush();
  connection.Fail(sent2, Error(Reason::kSessionExpired, "x", now));
  ASSERT_EQ(connection.batches.size(), 4u);
  const v1::RequestHeader first_header = connection.batches[2].requests(0).put().header();
  const v1::RequestHeader second_header = connection.batches[3].requests(0).put().header();
  EXPECT_NE(first_header.client_id(), sent.put().header().client_id());
  EXPECT_EQ(first_header.client_id(), client->client_id());
  EXPECT_EQ(second_header.client_id(), client->client_id());
  EXPECT_EQ(first_header.sequence(), 1u);
  EXPECT_EQ(second_header.sequence(), 2u);
  EXPECT_EQ(second_header.acknowledged_below(), 1u);
  EXPECT_EQ(sent.put().header().since(), 100u);
  EXPECT_EQ(first_header.since(), 5000u) << "after all that the server has forgotten";
  EXPECT_EQ(second_header.since(), 5000u);
  connection.Ok(connection.batches[2].requests(0));
  connection.Ok(connection.batches[3].requests(0));
  EXPECT_TRUE(put.answer().ok());
  EXPECT_TRUE(second.answer().ok());
}

// Whatever it learns later: the first write may have been executed before that.
TEST_F(ClientFailureTest, ASessionBeginsBeforeItsFirstWriteForEver) {
  FakeConnection& first = PutOnTheWay({.endpoints = {"a:1", "b:1"}});
  EXPECT_EQ(Sent().put().header().since(), 100u);
  first.Break("reset");
  world.last().Accept(Timestamp(900));
  EXPECT_EQ(Sent().put().header().since(), 100u);
  world.last().Ok(Sent());
  world.last().Flush();
  client->PutAsync("k2", "v", {}, [](const StatusOr<PutResult>&) {});
  EXPECT_EQ(Sent().put().header().since(), 100u);
}

TEST_F(ClientFailureTest, AWriteInDoubtWhoseSessionIsForgottenStaysInDoubt) {
  FakeConnection& first = PutOnTheWay();
  first.Break("reset");
  world.executor.Advance(milliseconds(100));
  world.last().Accept();
  world.last().Fail(Sent(), Error(Reason::kSessionExpired, "x"));
  ASSERT_TRUE(put.done());
  EXPECT_EQ(put.reason(), Reason::kSessionExpired);
}

TEST_F(ClientFailureTest, ASilentConnectionIsGivenUpAndItsCallsGoElsewhere) {
  FakeConnection& first = PutOnTheWay({.endpoints = {"a:1", "b:1"}, .stall_timeout = seconds(2)});
  world.executor.Advance(milliseconds(2100));
  EXPECT_TRUE(first.close_asked);
  ASSERT_EQ(world.connector.connections.size(), 2u);
  world.last().Accept();
  // What the old one says now is too late, and harmless.
  first.Ok(first.batches[0].requests(0));
  EXPECT_FALSE(put.done());
  world.last().Ok(Sent());
  EXPECT_TRUE(put.done());
}

TEST_F(ClientFailureTest, TheOnlyNodeIsWaitedForLonger) {
  FakeConnection& only = PutOnTheWay({.endpoints = {"a:1"}, .stall_timeout = milliseconds(500)});
  world.executor.Advance(milliseconds(3900));
  EXPECT_FALSE(only.close_asked);
  world.executor.Advance(milliseconds(200));
  EXPECT_TRUE(only.close_asked) << "a connection may be dead though its node is not";
}

TEST_F(ClientFailureTest, TheOnlyNodeIsKeptWhileItShowsLife) {
  FakeConnection& only = PutOnTheWay({.endpoints = {"a:1"}, .stall_timeout = milliseconds(500)});
  const v1::Request request = Sent();
  for (std::size_t second = 1; second < 9; ++second) {
    world.executor.Advance(seconds(1));
    ASSERT_EQ(only.batches.size(), 1 + second);
    EXPECT_TRUE(only.batches.back().requests().empty());
    only.Flush();
    v1::PipelineResponse alive;
    alive.set_timestamp(100);
    only.Respond(std::move(alive));
  }
  EXPECT_FALSE(only.close_asked);
  only.Ok(request);
  EXPECT_TRUE(put.done());
}

TEST_F(ClientFailureTest, AConnectionThatOwesNothingMayBeSilentForEver) {
  FakeConnection& connection = PutOnTheWay();
  connection.Ok(Sent());
  world.executor.Advance(seconds(3600));
  EXPECT_FALSE(connection.close_asked);
  EXPECT_EQ(world.connector.connections.size(), 1u);
}

TEST_F(ClientFailureTest, LateAndUnaskedAnswersAreIgnored) {
  FakeConnection& connection = PutOnTheWay();
  const v1::Request request = Sent();
  connection.Ok(request);
  connection.Ok(request);
  v1::Request unasked = request;
  unasked.set_id(0x7fff'ffff'0000'0123);
  connection.Ok(unasked);
  EXPECT_EQ(put.runs(), 1);
}

TEST_F(ClientFailureTest, AnAnswerOfTheWrongKindIsADefectOfTheServer) {
  FakeConnection& connection = PutOnTheWay();
  v1::Request other = Sent();
  other.mutable_get()->set_key("k");
  connection.Ok(other);
  ASSERT_TRUE(put.done());
  EXPECT_EQ(put.reason(), Reason::kOutcomeUnknown);
}

TEST_F(ClientFailureTest, ShutdownEndsEveryCallAndTellsSentFromUnsent) {
  FakeConnection& connection = PutOnTheWay();
  Result<GetResult> get;
  client->GetAsync("k", {}, get.Into());
  Result<PutResult> queued;
  client->PutAsync("k", "v", {}, queued.Into());  // the get is still being sent
  client->Shutdown();
  EXPECT_EQ(put.reason(), Reason::kOutcomeUnknown);
  EXPECT_EQ(get.reason(), Reason::kCancelled);
  EXPECT_EQ(queued.reason(), Reason::kCancelled);
  EXPECT_TRUE(connection.close_asked);
  Result<PutResult> late;
  client->PutAsync("k", "v", {}, late.Into());
  EXPECT_EQ(late.reason(), Reason::kCancelled);
  // What comes in afterwards meets nobody.
  connection.Ok(connection.batches[0].requests(0));
  client.reset();
  connection.Break("cancelled");
  EXPECT_EQ(put.runs(), 1);
}

}  // namespace
}  // namespace flotilla::client
