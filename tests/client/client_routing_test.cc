// The client in a cluster of many groups: following the directory, a node for each key.
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "flotilla/v1/directory.pb.h"
#include "tests/client/fake_world.h"

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;

// Node 1 at a:1 leads group 7, which holds the keys before "m"; node 2 at b:1 leads group 8.
constexpr char kDirectory[] = R"(
    whole: true
    version: 5
    keyspaces { id: 1 name: "default" partitioning: PARTITIONING_RANGE }
    shards { group_id: 7 keyspace_id: 1 end: "m" }
    shards { group_id: 8 keyspace_id: 1 start: "m" }
    nodes { node_id: 1 address: "a:1" }
    nodes { node_id: 2 address: "b:1" })";

class ClientRoutingTest : public testing::Test {
 protected:
  ClientRoutingTest() {
    world.connector.has_directory = true;
    client = world.NewClient({.endpoints = {"a:1"}});
  }

  static v1::WatchDirectoryResponse Change(const std::string& text) {
    v1::WatchDirectoryResponse change;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &change)) << text;
    return change;
  }

  // The connection to an address, accepted; null when there is none.
  FakeConnection* To(const std::string& address) {
    for (const auto& connection : world.connector.connections) {
      if (connection->address == address && !connection->closed) return connection.get();
    }
    return nullptr;
  }
  // One get, to its end, answered by the node; says who was asked.
  std::string Get(const std::string& key, std::uint64_t node, std::uint64_t group) {
    Result<GetResult> get;
    client->GetAsync(key, {}, get.Into());
    for (std::size_t i = 0; i < world.connector.connections.size(); ++i) {
      FakeConnection& connection = *world.connector.connections[i];
      if (!accepted.contains(&connection)) {
        accepted.insert(&connection);
        connection.Accept();
      }
      if (connection.batches.empty()) continue;
      const v1::Request request = connection.batches.back().requests(0);
      connection.batches.clear();
      connection.Flush();
      connection.Ok(request, node, group);
      EXPECT_TRUE(get.done());
      return connection.address;
    }
    ADD_FAILURE() << "nobody was asked";
    return "";
  }
  // Until the client follows the directory.
  void Follow() {
    Get("a", 1, 7);
    Get("z", 2, 8);
    Get("a", 1, 7);
    ASSERT_EQ(world.connector.watches.size(), 1u);
    world.connector.watches[0]->observer->OnDirectory(Change(kDirectory));
  }

  FakeWorld world;
  std::set<FakeConnection*> accepted;
  std::unique_ptr<Client> client;
};

TEST_F(ClientRoutingTest, OneGroupIsNoReasonToFollowTheDirectory) {
  for (int i = 0; i < 10; ++i) Get("a", 1, 7);
  Get("a", 2, 7);  // an election
  for (int i = 0; i < 10; ++i) Get("a", 2, 7);
  EXPECT_TRUE(world.connector.watches.empty());
}

TEST_F(ClientRoutingTest, EachKeyGoesToTheNodeThatLeadsItsShard) {
  Follow();
  Get("a", 1, 7);  // teaches who leads
  Get("z", 2, 8);
  EXPECT_EQ(Get("b", 1, 7), "a:1");
  EXPECT_EQ(Get("y", 2, 8), "b:1");
  EXPECT_EQ(Get("c", 1, 7), "a:1");
}

TEST_F(ClientRoutingTest, WhatGoesToOneNodeGoesTogether) {
  Follow();
  Get("a", 1, 7);
  Get("z", 2, 8);
  Get("z", 2, 8);
  std::vector<Result<GetResult>> gets(6);
  To("a:1")->unsent = false;
  // While both connections are busy, four more gather.
  for (int i = 0; i < 6; ++i) client->GetAsync(i % 2 == 0 ? "b" : "y", {}, gets[i].Into());
  EXPECT_EQ(To("a:1")->batches.size(), 1u);
  EXPECT_EQ(To("b:1")->batches.size(), 1u);
  To("a:1")->Flush();
  To("b:1")->Flush();
  ASSERT_EQ(To("a:1")->batches.size(), 2u);
  ASSERT_EQ(To("b:1")->batches.size(), 2u);
  EXPECT_EQ(To("a:1")->batches[1].requests_size(), 2);
  EXPECT_EQ(To("b:1")->batches[1].requests_size(), 2);
  EXPECT_EQ(To("b:1")->batches[1].requests(0).get().key(), "y");
}

TEST_F(ClientRoutingTest, AMovedLeaderCostsAHop) {
  Follow();
  Get("a", 1, 7);
  Get("z", 2, 8);
  EXPECT_EQ(Get("z", 1, 8), "b:1");  // which forwarded it
  EXPECT_EQ(Get("z", 1, 8), "a:1");
}

TEST_F(ClientRoutingTest, ASplitIsFollowed) {
  Follow();
  Get("a", 1, 7);
  Get("z", 2, 8);
  Get("z", 2, 8);
  world.connector.watches[0]->observer->OnDirectory(Change(R"(
      version: 6
      shards { group_id: 7 keyspace_id: 1 end: "g" }
      shards { group_id: 9 keyspace_id: 1 start: "g" end: "m" })"));
  Get("h", 2, 9);
  EXPECT_EQ(Get("h", 2, 9), "b:1");
  EXPECT_EQ(Get("b", 1, 7), "a:1");
}

TEST_F(ClientRoutingTest, WhatWaitsForANodeThatFailsGoesToAnother) {
  Follow();
  Get("a", 1, 7);
  Get("z", 2, 8);
  Get("z", 2, 8);
  Result<GetResult> first;
  Result<GetResult> second;
  client->GetAsync("z", {}, first.Into());
  client->GetAsync("y", {}, second.Into());  // waits for the first to be sent
  FakeConnection& broken = *To("b:1");
  broken.Break("broken pipe");
  FakeConnection& other = *To("a:1");
  ASSERT_FALSE(other.batches.empty());
  int requests = 0;
  while (!other.batches.empty()) {
    const v1::PipelineRequest batch = other.batches.front();
    other.batches.erase(other.batches.begin());
    other.Flush();
    for (const v1::Request& request : batch.requests()) {
      ++requests;
      other.Ok(request, 1, 8);
    }
  }
  EXPECT_EQ(requests, 2);
  EXPECT_TRUE(first.done());
  EXPECT_TRUE(second.done());
}

TEST_F(ClientRoutingTest, AStreamThatEndsIsBegunAnewAfterAWhile) {
  Follow();
  world.connector.watches[0]->observer->OnDirectoryClosed(
      Error(Reason::kUnreachable, "a:1 closed the connection"));
  Get("z", 2, 8);
  EXPECT_EQ(world.connector.watches.size(), 1u) << "not at once";
  world.executor.Advance(std::chrono::seconds(2));
  Get("a", 1, 7);
  EXPECT_EQ(world.connector.watches.size(), 2u);
  EXPECT_EQ(Get("y", 2, 8), "b:1") << "what was known still holds";
}

TEST_F(ClientRoutingTest, AServerWithoutADirectoryIsAskedOnce) {
  Follow();
  world.connector.watches[0]->observer->OnDirectoryClosed(
      Error(Reason::kUnimplemented, "unknown service"));
  world.executor.Advance(std::chrono::seconds(5));
  Get("a", 1, 7);
  Get("z", 2, 8);
  Get("a", 1, 7);
  EXPECT_EQ(world.connector.watches.size(), 1u);
}

TEST_F(ClientRoutingTest, AShutDownEndsTheStream) {
  Follow();
  client->Shutdown();
  EXPECT_TRUE(world.connector.watches[0]->close_asked);
  world.connector.watches[0]->observer->OnDirectory(Change(kDirectory));
}

}  // namespace
}  // namespace flotilla::client
