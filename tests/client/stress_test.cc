// The client under many threads and a network that breaks: every call ends exactly once. Made for
// ThreadSanitizer, which gRPC's own tests would drown in reports of a library it cannot see into.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <set>
#include <thread>

#include "base/random.h"
#include "base/real_executor.h"
#include "client/client.h"
#include "tests/client/fake_world.h"

namespace flotilla::client {
namespace {

// What all connections share: which writes took effect.
struct Store {
  std::mutex mutex;
  Random random{7};
  std::set<std::pair<std::uint64_t, std::uint64_t>> applied;  // client, sequence
  std::uint64_t effects = 0;

  bool Chance(double probability) {
    std::lock_guard lock(mutex);
    return random.Chance(probability);
  }

  void Apply(const v1::Request& request) {
    if (!request.has_put()) return;
    std::lock_guard lock(mutex);
    const v1::RequestHeader& header = request.put().header();
    if (applied.emplace(header.client_id(), header.sequence()).second) ++effects;
  }
};

// Answers on strands of its own: one for what was sent, one for answers, as gRPC does.
class StressConnection final : public Connection,
                               public std::enable_shared_from_this<StressConnection> {
 public:
  StressConnection(Store* store, Executor* executor, std::shared_ptr<ConnectionObserver> observer)
      : store_(store),
        writes_(executor->NewStrand("writes")),
        reads_(executor->NewStrand("reads")),
        observer_(std::move(observer)) {}

  void Open() {
    writes_->Post([self = shared_from_this()] { self->observer_->OnConnected(Timestamp(1)); });
  }

  void Send(const v1::PipelineRequest& batch) override {
    ++sends;
    if (store_->Chance(0.02)) {  // lost, with or without effect
      if (store_->Chance(0.5)) Apply(batch);
      return Close();
    }
    std::lock_guard lock(mutex_);
    if (closing_) return;
    Apply(batch);
    writes_->Post([self = shared_from_this()] { self->observer_->OnSent(); });
    reads_->Post([self = shared_from_this(), batch] {
      v1::PipelineResponse responses;
      for (const v1::Request& request : batch.requests()) {
        *responses.add_responses() = Answer(request, 1);
      }
      if (!self->closing_) self->observer_->OnResponses(responses);
    });
  }

  std::atomic<int> sends = 0;

  void Close() override {
    std::lock_guard lock(mutex_);
    if (closing_.exchange(true)) return;
    // Behind everything that is under way on both.
    writes_->Post([self = shared_from_this()] {
      self->reads_->Post([self] {
        self->observer_->OnClosed(Error(Reason::kUnreachable, "broken"));
        self->observer_.reset();
      });
    });
  }

 private:
  void Apply(const v1::PipelineRequest& batch) {
    for (const v1::Request& request : batch.requests()) store_->Apply(request);
  }

  Store* const store_;
  const std::unique_ptr<Strand> writes_;
  const std::unique_ptr<Strand> reads_;
  std::shared_ptr<ConnectionObserver> observer_;
  std::mutex mutex_;  // nothing is posted behind the end
  std::atomic<bool> closing_ = false;
};

class StressConnector final : public Connector {
 public:
  StressConnector(Store* store, Executor* executor) : store_(store), executor_(executor) {}

  std::shared_ptr<Connection> Connect(const std::string&,
                                      std::shared_ptr<ConnectionObserver> observer) override {
    auto connection = std::make_shared<StressConnection>(store_, executor_, std::move(observer));
    connection->Open();
    std::lock_guard lock(mutex_);
    all_.push_back(connection);
    return connection;
  }
  void ListMembers(const std::string&, Duration, MembersCallback) override {}

  // From the other end, at any moment.
  void BreakNewest() {
    std::lock_guard lock(mutex_);
    if (!all_.empty() && all_.back()->sends > 5) all_.back()->Close();
  }

 private:
  Store* const store_;
  Executor* const executor_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<StressConnection>>
      all_;  // strands are destroyed after the executor stops
};

TEST(ClientStress, EveryCallEndsOnceAndEveryWriteTakesEffectOnce) {
  Store store;
  RealClock clock;
  RealExecutor executor(3);
  StressConnector connector(&store, &executor);
  constexpr int kThreads = 4;
  constexpr int kCallsPerThread = 2000;
  std::atomic<int> failed = 0;
  std::atomic<int> ended = 0;
  {
    Client client({.endpoints = {"a:1", "b:1"}, .batch_requests_max = 32},
                  ClientWorld{.executor = &executor, .clock = &clock, .connector = &connector});
    std::latch all(kThreads * kCallsPerThread);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kCallsPerThread; ++i) {
          const auto done = [&](auto result) {
            if (!result.ok()) ++failed;
            ++ended;
            all.count_down();
          };
          if (i % 10 == 0) {
            done(client.Put("k", "v"));  // waits for its turn
          } else if (i % 2 == 0) {
            client.PutAsync("k", "v", {}, done);
          } else {
            client.GetAsync("k", {}, done);
          }
        }
      });
    }
    std::atomic<bool> over = false;
    std::thread breaker([&] {
      while (!over) {
        connector.BreakNewest();
        std::this_thread::yield();
      }
    });
    for (auto& thread : threads) thread.join();
    all.wait();
    over = true;
    breaker.join();
    client.Shutdown();
  }
  executor.Stop();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(ended, kThreads * kCallsPerThread);
  EXPECT_EQ(store.effects, static_cast<std::uint64_t>(kThreads * kCallsPerThread / 2));
}

TEST(ClientStress, ShutdownInTheMiddleEndsEveryCall) {
  for (int round = 0; round < 20; ++round) {
    Store store;
    RealClock clock;
    RealExecutor executor(3);
    StressConnector connector(&store, &executor);
    std::atomic<int> started = 0;
    std::atomic<int> ended = 0;
    {
      Client client({.endpoints = {"a:1"}},
                    ClientWorld{.executor = &executor, .clock = &clock, .connector = &connector});
      std::vector<std::thread> threads;
      for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 200; ++i) {
            ++started;
            client.PutAsync("k", "v", {}, [&](auto) { ++ended; });
            if (i == 100) client.Shutdown();
          }
        });
      }
      for (auto& thread : threads) thread.join();
      client.Shutdown();
      EXPECT_EQ(started, ended);
    }
    executor.Stop();
  }
}

}  // namespace
}  // namespace flotilla::client
