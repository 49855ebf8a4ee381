// The client over real gRPC, against a small server in this process.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>

#include "client/client.h"
#include "tests/client/memory_server.h"

namespace flotilla::client {
namespace {

std::unique_ptr<Client> NewClient(const MemoryServer& server) {
  auto client = Client::Create({.endpoints = {server.address()}});
  EXPECT_TRUE(client.ok());
  return *std::move(client);
}

TEST(ClientOverGrpc, BlockingFaceReadsAndWrites) {
  MemoryServer server;
  const auto client = NewClient(server);
  EXPECT_FALSE(client->Get("k")->found);
  const auto put = client->Put("k", std::string("a\0b", 3));
  ASSERT_TRUE(put.ok()) << put.status();
  const auto got = client->Get("k");
  EXPECT_EQ(got->value, std::string("a\0b", 3));
  EXPECT_EQ(got->version, put->version);
  EXPECT_TRUE(client->CompareAndSet("k", Condition::VersionIs(put->version), "c").ok());
  const auto failed = client->CompareAndSet("k", Condition::VersionIs(put->version), "d");
  EXPECT_EQ(ReasonOf(failed.status()), Reason::kConditionFailed);
  EXPECT_TRUE(client->Delete("k")->existed);
  EXPECT_FALSE(client->Delete("k")->existed);
  EXPECT_EQ(ReasonOf(client->Put("", "v").status()), Reason::kBadRequest);
  EXPECT_TRUE(client->Write(WriteBatch().Put("x", "1").Put("y", "2")).ok());
  EXPECT_EQ(client->BatchGet({"x", "y", "z"})->size(), 3u);
  EXPECT_EQ(client->DeleteRange("x", "")->deleted, 2u);
}

TEST(ClientOverGrpc, ScannerWalksOverPages) {
  MemoryServer server;
  const auto client = NewClient(server);
  WriteBatch batch;
  for (int i = 0; i < 25; ++i) batch.Put("k" + std::to_string(100 + i), "v");
  batch.Put("other", "v");
  ASSERT_TRUE(client->Write(batch).ok());
  std::vector<std::string> keys;
  Scanner all = client->Scan({.prefix = "k", .page_size = 10});
  while (all.Next()) keys.push_back(all.row().key);
  EXPECT_TRUE(all.status().ok());
  EXPECT_EQ(keys.size(), 25u);
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  EXPECT_FALSE(all.Next());

  Scanner some = client->Scan({.prefix = "k", .reverse = true, .limit = 12, .page_size = 5});
  keys.clear();
  while (some.Next()) keys.push_back(some.row().key);
  EXPECT_EQ(keys.size(), 12u);
  EXPECT_EQ(keys.front(), "k124");

  Scanner none = client->Scan({.prefix = "nothing"});
  EXPECT_FALSE(none.Next());
  EXPECT_TRUE(none.status().ok());
}

TEST(ClientOverGrpc, ConcurrentCallsShareMessages) {
  MemoryServer server;
  const auto client = NewClient(server);
  constexpr int kCalls = 2000;
  std::latch answered(kCalls);
  std::atomic<int> failed = 0;
  for (int i = 0; i < kCalls; ++i) {
    client->PutAsync("k" + std::to_string(i), std::string(256, 'v'), {},
                     [&](StatusOr<PutResult> result) {
                       if (!result.ok()) ++failed;
                       answered.count_down();
                     });
  }
  answered.wait();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(server.writes(), static_cast<std::uint64_t>(kCalls));
  EXPECT_LT(server.pipeline_messages(), kCalls / 2u);
}

TEST(ClientOverGrpc, ManyThreadsUseTheBlockingFace) {
  MemoryServer server;
  const auto client = NewClient(server);
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string key = std::to_string(t) + "/" + std::to_string(i);
        if (!client->Put(key, key).ok() || client->Get(key)->value != key) ++failed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(server.writes(), 400u);
}

TEST(ClientOverGrpc, AWriteWhoseAnswerIsLostTakesEffectOnce) {
  MemoryServer server;
  const auto client = NewClient(server);
  server.LoseNextAnswer();
  const auto put = client->Put("k", "v");
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(server.writes(), 1u);
  EXPECT_EQ(client->Get("k")->version, put->version);
}

TEST(ClientOverGrpc, ARefusedConnectionIsToldAtOnceWithTheSystemsError) {
  auto client = Client::Create({.endpoints = {"127.0.0.1:1"}, .wait_for_ready = false});
  const auto got = (*client)->Get("k");
  EXPECT_EQ(ReasonOf(got.status()), Reason::kUnreachable);
  EXPECT_NE(MessageOf(got.status()).find("127.0.0.1:1: Connection refused"), std::string::npos)
      << got.status();
}

TEST(ClientOverGrpc, AServerThatComesBackIsFoundAgain) {
  auto server = std::make_unique<MemoryServer>();
  const int port = server->port();
  const auto client = NewClient(*server);
  ASSERT_TRUE(client->Put("k", "v").ok());
  server.reset();
  std::latch answered(1);
  Status status;
  client->PutAsync("k", "w", {}, [&](StatusOr<PutResult> result) {
    status = result.status();
    answered.count_down();
  });
  server = std::make_unique<MemoryServer>(port);
  answered.wait();
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ClientOverGrpc, DestroyingTheClientEndsItsCalls) {
  MemoryServer server;
  auto client = NewClient(server);
  ASSERT_TRUE(client->Put("k", "v").ok());
  server.Stop();
  std::atomic<int> ended = 0;
  for (int i = 0; i < 100; ++i) client->PutAsync("k", "v", {}, [&](auto) { ++ended; });
  client.reset();
  EXPECT_EQ(ended, 100);
}

TEST(ClientOverGrpc, LargeValuesTravel) {
  MemoryServer server;
  const auto client = NewClient(server);
  const std::string large(8 << 20, 'x');
  ASSERT_TRUE(client->Put("k", large).ok());
  EXPECT_EQ(client->Get("k")->value, large);
}

}  // namespace
}  // namespace flotilla::client
