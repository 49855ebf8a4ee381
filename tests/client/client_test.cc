// The client against a network that works: requests, answers, batches, numbering, bounds.
#include "client/client.h"

#include <gtest/gtest.h>

#include "tests/client/fake_world.h"

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ClientTest : public testing::Test {
 protected:
  // A client whose one connection is up, and the batch of its first put answered.
  FakeConnection& Connected(ClientOptions options = {}) {
    client = world.NewClient(std::move(options));
    client->GetAsync("warm up", {}, [](StatusOr<GetResult>) {});
    FakeConnection& connection = world.last();
    connection.Accept();
    connection.Flush();
    connection.Ok(connection.batches[0].requests(0));
    connection.batches.clear();
    return connection;
  }

  FakeWorld world;
  std::unique_ptr<Client> client;
};

TEST_F(ClientTest, FirstCallConnectsAndLeavesOnceTheConnectionIsUp) {
  client = world.NewClient({.endpoints = {"a:1"}});
  EXPECT_TRUE(world.connector.connections.empty());
  Result<PutResult> put;
  client->PutAsync("k", "v", {}, put.Into());
  ASSERT_EQ(world.connector.connections.size(), 1u);
  EXPECT_EQ(world.last().address, "a:1");
  EXPECT_TRUE(world.last().batches.empty());
  world.last().Accept();
  ASSERT_EQ(world.last().batches.size(), 1u);
  const v1::Request& request = world.last().batches[0].requests(0);
  EXPECT_EQ(request.put().key(), "k");
  EXPECT_EQ(request.put().value(), "v");
  EXPECT_FALSE(request.put().has_ttl());
  EXPECT_EQ(request.timeout_ms(), 10'000u);
  EXPECT_FALSE(put.done());
  world.last().Ok(request);
  ASSERT_TRUE(put.done());
  EXPECT_EQ(put.answer()->version, Timestamp(8));
}

TEST_F(ClientTest, EveryKindOfCallGetsItsAnswer) {
  FakeConnection& connection = Connected();
  const auto answer_last = [&] {
    const v1::Request request = connection.batches.back().requests(0);
    connection.Flush();
    connection.Ok(request);
    return request;
  };
  Result<GetResult> get;
  client->GetAsync("k", {}, get.Into());
  answer_last();
  EXPECT_TRUE(get.answer()->found);
  EXPECT_EQ(get.answer()->value, "value of k");
  EXPECT_EQ(get.answer()->version, Timestamp(7));

  Result<std::vector<GetResult>> batch_get;
  client->BatchGetAsync({"a", "b"}, {}, batch_get.Into());
  answer_last();
  ASSERT_EQ(batch_get.answer()->size(), 2u);
  EXPECT_EQ((*batch_get.answer())[1].value, "value of b");

  Result<DeleteResult> deleted;
  client->DeleteAsync("k", {}, deleted.Into());
  answer_last();
  EXPECT_TRUE(deleted.answer()->existed);

  Result<DeleteRangeResult> range;
  client->DeleteRangeAsync("a", "b", {}, range.Into());
  EXPECT_EQ(answer_last().delete_range().end(), "b");
  EXPECT_EQ(range.answer()->deleted, 3u);

  Result<CompareAndSetResult> cas;
  client->CompareAndSetAsync("k", Condition::VersionIs(Timestamp(5)), "new",
                             {.ttl = milliseconds(1500)}, cas.Into());
  const v1::Request sent = answer_last();
  EXPECT_EQ(sent.compare_and_set().condition().version(), 5u);
  EXPECT_EQ(sent.compare_and_set().ttl().seconds(), 1);
  EXPECT_EQ(sent.compare_and_set().ttl().nanos(), 500'000'000);
  EXPECT_EQ(cas.answer()->version, Timestamp(9));

  Result<BatchResult> batch;
  WriteBatch writes;
  writes.Put("a", "1", {}, Condition::Absent()).Delete("b").DeleteRange("c", "d");
  client->WriteAsync(writes, {}, batch.Into());
  const v1::Request write = answer_last();
  ASSERT_EQ(write.batch().operations_size(), 3);
  EXPECT_TRUE(write.batch().operations(0).put().condition().absent());
  EXPECT_FALSE(write.batch().operations(1).delete_().has_condition());
  EXPECT_EQ(batch.answer()->version, Timestamp(10));
}

TEST_F(ClientTest, CompareAndSetWithoutValueDeletes) {
  FakeConnection& connection = Connected();
  Result<CompareAndSetResult> cas;
  client->CompareAndSetAsync("k", Condition::Exists(), std::nullopt, {}, cas.Into());
  EXPECT_FALSE(connection.batches[0].requests(0).compare_and_set().has_value());
}

TEST_F(ClientTest, CallsThatArriveDuringASendLeaveTogetherInTheNext) {
  FakeConnection& connection = Connected();
  Result<PutResult> results[10];
  for (auto& result : results) client->PutAsync("k", "v", {}, result.Into());
  ASSERT_EQ(connection.batches.size(), 1u);  // the first left at once
  EXPECT_EQ(connection.batches[0].requests_size(), 1);
  connection.Flush();
  ASSERT_EQ(connection.batches.size(), 2u);
  EXPECT_EQ(connection.batches[1].requests_size(), 9);
}

TEST_F(ClientTest, CallsFromCallbacksOfOneAnswerLeaveTogether) {
  FakeConnection& connection = Connected();
  Result<PutResult> second[4];
  for (auto& result : second) {
    client->PutAsync("k", "v", {},
                     [&](StatusOr<PutResult>) { client->PutAsync("k2", "v", {}, result.Into()); });
  }
  connection.Flush();
  connection.Flush();
  v1::PipelineResponse all;
  for (const auto& batch : connection.batches) {
    for (const v1::Request& request : batch.requests()) *all.add_responses() = Answer(request, 1);
  }
  ASSERT_EQ(all.responses_size(), 4);
  connection.batches.clear();
  connection.Respond(std::move(all));
  ASSERT_EQ(connection.batches.size(), 1u);
  EXPECT_EQ(connection.batches[0].requests_size(), 4);
}

TEST_F(ClientTest, CallsWaitForCompanyWhileMostAreOwed) {
  FakeConnection& connection = Connected();
  const auto put = [&] {
    client->PutAsync("k", "v", {}, [](const StatusOr<PutResult>&) {});
    if (connection.unsent) connection.Flush();
  };
  const auto answer_first = [&] {
    v1::PipelineResponse one;
    *one.add_responses() = Answer(connection.batches[0].requests(0), 1);
    connection.batches[0].mutable_requests()->DeleteSubrange(0, 1);
    connection.Respond(std::move(one));
    if (connection.unsent) connection.Flush();
  };
  put();
  world.executor.Advance(std::chrono::milliseconds(80));
  answer_first();
  connection.batches.clear();
  for (int i = 0; i < 4; ++i) put();
  ASSERT_EQ(connection.batches.size(), 2u) << "two wait, and two are owed";
  answer_first();
  EXPECT_EQ(connection.batches.size(), 3u) << "two wait, and one is owed";
  EXPECT_EQ(connection.batches.back().requests_size(), 2);
  put();
  EXPECT_EQ(connection.batches.size(), 3u) << "one waits, and three are owed";
  world.executor.Advance(std::chrono::milliseconds(20));
  EXPECT_EQ(connection.batches.size(), 4u) << "no company has come";
}

TEST_F(ClientTest, BatchesAreBoundedInRequestsAndBytes) {
  FakeConnection& connection =
      Connected({.max_pool_size = 1, .batch_requests_max = 4, .batch_bytes_max = 1000});
  Result<PutResult> results[8];
  client->PutAsync("k", "v", {}, results[0].Into());
  for (int i = 1; i < 6; ++i) client->PutAsync("k", "v", {}, results[i].Into());
  client->PutAsync("k", std::string(5000, 'x'), {}, results[6].Into());
  client->PutAsync("k", "v", {}, results[7].Into());
  while (connection.unsent) connection.Flush();
  std::vector<int> sizes;
  for (const auto& batch : connection.batches) sizes.push_back(batch.requests_size());
  EXPECT_EQ(sizes, (std::vector<int>{1, 4, 1, 1, 1}));
}

TEST_F(ClientTest, AnswersMayComeInAnyOrder) {
  FakeConnection& connection = Connected();
  Result<GetResult> a, b, c;
  client->GetAsync("a", {}, a.Into());
  client->GetAsync("b", {}, b.Into());
  client->GetAsync("c", {}, c.Into());
  connection.Flush();
  const auto later = connection.batches[1];
  connection.Ok(later.requests(1));
  EXPECT_TRUE(c.done());
  EXPECT_FALSE(b.done());
  connection.Ok(later.requests(0));
  connection.Ok(connection.batches[0].requests(0));
  EXPECT_EQ(a.answer()->value, "value of a");
  EXPECT_EQ(b.answer()->value, "value of b");
  EXPECT_EQ(c.answer()->value, "value of c");
}

TEST_F(ClientTest, WritesAreNumberedAndAcknowledgeWhatIsAnswered) {
  FakeConnection& connection = Connected();
  Result<PutResult> results[4];
  for (int i = 0; i < 3; ++i) client->PutAsync("k", "v", {}, results[i].Into());
  connection.Flush();
  connection.Flush();
  const v1::Request first = connection.batches[0].requests(0);
  const v1::Request second = connection.batches[1].requests(0);
  EXPECT_EQ(first.put().header().client_id(), client->client_id());
  EXPECT_NE(client->client_id(), 0u);
  EXPECT_EQ(first.put().header().sequence(), 1u);
  EXPECT_EQ(second.put().header().sequence(), 2u);
  EXPECT_EQ(second.put().header().acknowledged_below(), 1u);
  connection.Ok(second);
  connection.Ok(first);
  client->PutAsync("k", "v", {}, results[3].Into());
  const v1::RequestHeader& header = connection.batches[2].requests(0).put().header();
  EXPECT_EQ(header.sequence(), 4u);
  EXPECT_EQ(header.acknowledged_below(), 3u);  // 1 and 2 are answered
}

TEST_F(ClientTest, ReadsCarryNoSequence) {
  FakeConnection& connection = Connected();
  Result<GetResult> get;
  client->GetAsync("k", {}, get.Into());
  EXPECT_FALSE(connection.batches[0].requests(0).get().has_header());
}

TEST_F(ClientTest, WritesPastTheWindowWaitForTheOldestAndReadsDoNot) {
  FakeConnection& connection = Connected({.write_window_max = 2});
  Result<PutResult> puts[3];
  Result<GetResult> get;
  for (auto& put : puts) client->PutAsync("k", "v", {}, put.Into());
  client->GetAsync("k", {}, get.Into());
  connection.Flush();
  connection.Flush();
  ASSERT_EQ(connection.batches.size(), 2u);
  ASSERT_EQ(connection.batches[1].requests_size(), 2);
  EXPECT_TRUE(connection.batches[1].requests(1).has_get());
  const v1::Request first = connection.batches[0].requests(0);
  const v1::Request second = connection.batches[1].requests(0);
  connection.Ok(second);
  EXPECT_EQ(connection.batches.size(), 2u);  // the oldest is still open
  connection.Ok(first);
  ASSERT_EQ(connection.batches.size(), 3u);
  EXPECT_EQ(connection.batches[2].requests(0).put().header().sequence(), 3u);
}

TEST_F(ClientTest, KeyspaceGoesIntoEveryHeader) {
  client = world.NewClient({.endpoints = {"a:1"}, .keyspace = "mine"});
  client->GetAsync("k", {}, [](StatusOr<GetResult>) {});
  client->PutAsync("k", "v", {}, [](StatusOr<PutResult>) {});
  world.last().Accept();
  EXPECT_EQ(world.last().batches[0].requests(0).get().header().keyspace(), "mine");
  EXPECT_EQ(world.last().batches[0].requests(1).put().header().keyspace(), "mine");
}

TEST_F(ClientTest, BeyondTheBoundAnAsynchronousCallIsRefusedAtOnce) {
  Connected({.outstanding_max = 2});
  Result<PutResult> a, b, c;
  client->PutAsync("k", "v", {}, a.Into());
  client->PutAsync("k", "v", {}, b.Into());
  client->PutAsync("k", "v", {}, c.Into());
  ASSERT_TRUE(c.done());
  EXPECT_EQ(c.reason(), Reason::kOverloaded);
  EXPECT_FALSE(a.done());
  EXPECT_FALSE(b.done());
}

TEST_F(ClientTest, AnotherConnectionOpensOnlyOnceAWholeBatchWaits) {
  FakeConnection& first = Connected({.max_pool_size = 2, .batch_requests_max = 4});
  for (int i = 0; i < 4; ++i) client->GetAsync("k", {}, [](StatusOr<GetResult>) {});
  EXPECT_EQ(world.connector.connections.size(), 1u);
  client->GetAsync("k", {}, [](StatusOr<GetResult>) {});
  ASSERT_EQ(world.connector.connections.size(), 2u);
  EXPECT_TRUE(first.unsent);
  world.last().Accept();
  ASSERT_EQ(world.last().batches.size(), 1u);
  EXPECT_EQ(world.last().batches[0].requests_size(), 4);
  for (int i = 0; i < 50; ++i) client->GetAsync("k", {}, [](StatusOr<GetResult>) {});
  EXPECT_EQ(world.connector.connections.size(), 2u);
}

TEST_F(ClientTest, SpareIdleConnectionsAreClosedAfterTheirTimeout) {
  FakeConnection& first = Connected(
      {.max_pool_size = 2, .min_idle = 1, .idle_timeout = seconds(5), .batch_requests_max = 1});
  client->GetAsync("k", {}, [](StatusOr<GetResult>) {});
  client->GetAsync("k", {}, [](StatusOr<GetResult>) {});
  ASSERT_EQ(world.connector.connections.size(), 2u);
  FakeConnection& second = world.last();
  second.Accept();
  second.Flush();
  second.Ok(second.batches[0].requests(0));
  first.Flush();
  first.Ok(first.batches[0].requests(0));
  world.executor.Advance(seconds(4));
  EXPECT_FALSE(second.close_asked);
  world.executor.Advance(seconds(2));
  EXPECT_TRUE(second.close_asked);
  EXPECT_FALSE(first.close_asked);
}

TEST_F(ClientTest, EventualReadsGoRoundTheNodes) {
  client = world.NewClient({.endpoints = {"a:1", "b:1", "c:1"}});
  for (int i = 0; i < 200; ++i) {
    client->GetAsync("k", {.consistency = ReadConsistency::kEventual}, [](StatusOr<GetResult>) {});
    for (const auto& connection : world.connector.connections) {
      if (connection->batches.empty() && !connection->unsent) connection->Accept();
      if (!connection->unsent) continue;
      connection->Flush();
      connection->Ok(connection->batches.back().requests(0));
    }
  }
  ASSERT_EQ(world.connector.connections.size(), 3u);
  for (const auto& connection : world.connector.connections) {
    EXPECT_GT(connection->batches.size(), 20u);
    EXPECT_EQ(connection->batches[0].requests(0).get().consistency(), v1::CONSISTENCY_EVENTUAL);
  }
}

TEST_F(ClientTest, ASnapshotNamesItsTimestamp) {
  client = world.NewClient({.endpoints = {"a:1"}});
  const ReadOptions then{.consistency = ReadConsistency::kSnapshot, .as_of = Timestamp(7)};
  client->GetAsync("k", then, [](StatusOr<GetResult>) {});
  world.connector.connections[0]->Accept();
  const v1::GetRequest& get = world.connector.connections[0]->batches[0].requests(0).get();
  EXPECT_EQ(get.consistency(), v1::CONSISTENCY_SNAPSHOT);
  EXPECT_EQ(get.read_timestamp(), 7u);
}

TEST(ClientOptions, MistakesAreReportedAllAtOnce) {
  const Status status =
      ValidateOptions({.endpoints = {"nowhere"}, .timeout = seconds(0), .max_pool_size = 0});
  EXPECT_EQ(ReasonOf(status), Reason::kBadRequest);
  for (const char* word : {"nowhere", "timeout", "max_pool_size"}) {
    EXPECT_NE(MessageOf(status).find(word), std::string::npos) << word;
  }
  EXPECT_FALSE(ValidateOptions({}).ok());
  EXPECT_TRUE(ValidateOptions({.endpoints = {"localhost:7101"}}).ok());
}

}  // namespace
}  // namespace flotilla::client
