// Scripted scenarios: bugs that seeds have found, without the seed, which loses its meaning when
// the faults change.

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "base/logger.h"
#include "client/client.h"
#include "client/dispatcher.h"
#include "tests/sim/climate.h"
#include "tests/sim/sim_cluster.h"

namespace flotilla::sim {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

class Scenario : public testing::Test {
 protected:
  void SetUp() override {
    for (int node = 0; node < 3; ++node) cluster_.Start(node);
    ASSERT_TRUE(Await([this] { return Leader() >= 0; }));
    client::ClientOptions options;
    for (int node = 0; node < 3; ++node) {
      options.endpoints.push_back(SimCluster::AddressOf(node));
    }
    options.timeout = std::chrono::seconds(3);
    client_ = std::make_unique<client::Client>(
        options,
        client::ClientWorld{
            .executor = &process_, .clock = &process_, .connector = &connector_, .seed = 1});
  }
  void TearDown() override {
    client_->Shutdown();
    process_.Stop();
    EXPECT_EQ(cluster_.failure(), "");
  }

  static SimCluster::Options Options() {
    SimCluster::Options options;
    options.spares = 1;
    options.logger = NullLogger();
    Climate climate;
    climate.append_bytes_max = 1 << 20;
    climate.compact_after_bytes = 24 << 10;
    climate.memtable_bytes = 256 << 10;
    climate.session_idle_ms_max = 3'600'000;
    Apply(climate, options.node);
    return options;
  }

  template <class Condition>
  bool Await(Condition condition) {
    const MonoTime end = loop_.now() + kPatience;
    while (!condition() && loop_.now() < end) loop_.RunFor(std::chrono::milliseconds(5));
    return condition();
  }
  int Leader() const {
    for (int node = 0; node < cluster_.size(); ++node) {
      if (cluster_.running(node) && cluster_.node(node)->Ready() &&
          cluster_.node(node)->Leads(GroupId())) {
        return node;
      }
    }
    return -1;
  }
  Status Put(const std::string& key, std::size_t bytes) {
    auto outcome = std::make_shared<std::optional<Status>>();
    client_->PutAsync(
        key, std::string(bytes, 'x'), {},
        [outcome](const StatusOr<client::PutResult>& result) { *outcome = result.status(); });
    EXPECT_TRUE(Await([&] { return outcome->has_value(); }));
    return outcome->value_or(Error(Reason::kInternal, "no answer"));
  }
  Status Get(const std::string& key) {
    auto outcome = std::make_shared<std::optional<Status>>();
    client_->GetAsync(key, {}, [outcome](const StatusOr<client::GetResult>& result) {
      *outcome = result.status();
    });
    EXPECT_TRUE(Await([&] { return outcome->has_value(); }));
    return outcome->value_or(Error(Reason::kInternal, "no answer"));
  }

  EventLoop loop_;
  SimNetwork network_{&loop_, Random(1)};
  SimCluster cluster_{Options(), &loop_, &network_};
  SimProcess process_{&loop_, 100};
  SimConnector connector_{&network_, &process_,
                          [this](const std::string& address) { return cluster_.Find(address); }};
  std::unique_ptr<client::Client> client_;
};

TEST_F(Scenario, FullDisksRefuseWritesAndGoOnOnceThereIsRoom) {
  ASSERT_TRUE(Put("key", 100).ok());
  for (int node = 0; node < 3; ++node) cluster_.SetRoom(node, 1'000);
  Status status;
  for (int i = 0; i < 2'000 && status.ok(); ++i) status = Put("big", 3'000);
  EXPECT_FALSE(status.ok());
  // The first may have been under way; from then on it is said before anything happens.
  EXPECT_EQ(ReasonOf(Put("big", 3'000)), Reason::kDiskFull);
  EXPECT_TRUE(Get("key").ok()) << "reads go on";
  for (int node = 0; node < 3; ++node) cluster_.SetRoom(node, std::nullopt);
  loop_.RunFor(std::chrono::seconds(1));
  EXPECT_TRUE(Put("key", 100).ok()) << "without a restart";
}

TEST_F(Scenario, ALeaderWhoseSyncHangsLosesItsLeadership) {
  ASSERT_TRUE(Put("key", 100).ok());
  const int leader = Leader();
  cluster_.SetSyncTime(leader, std::chrono::seconds(10));
  Put("key", 100).IgnoreError();
  EXPECT_TRUE(Await([&] { return Leader() >= 0 && Leader() != leader; }));
  EXPECT_TRUE(Put("key", 100).ok());
}

// It had an identity, no log yet, and knew nobody.
TEST_F(Scenario, ANewMemberThatLosesPowerAtAnyTimeWhileItJoinsBecomesAVoter) {
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Put("key" + std::to_string(i), 2'000).ok());
  cluster_.Start(3);
  for (int cut = 0; cut < 40; ++cut) {
    loop_.RunFor(std::chrono::milliseconds(20));
    cluster_.Crash(3);
    ASSERT_TRUE(cluster_.Start(3)) << cluster_.failure();
  }
  EXPECT_TRUE(Await([this] { return cluster_.node(3)->Ready(); }));
}

TEST(Trace, HasTheCallsToADiskAfterAPowerCutAndAFault) {
  std::FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  {
    EventLoop loop(file);
    SimNetwork network(&loop, Random(1));
    SimCluster::Options options;
    options.founders = 1;
    options.logger = NullLogger();
    SimCluster cluster(options, &loop, &network);
    const auto calls = [&] {
      std::rewind(file);
      int count = 0;
      char line[4096];
      while (std::fgets(line, sizeof(line), file) != nullptr) {
        count += std::string_view(line).starts_with("disk of n1: call ");
      }
      return count;
    };
    cluster.Start(0);
    loop.RunFor(std::chrono::seconds(2));
    int before = calls();
    EXPECT_GT(before, 0);
    cluster.Crash(0);
    cluster.Start(0);
    loop.RunFor(std::chrono::seconds(2));
    EXPECT_GT(calls(), before);
    before = calls();
    cluster.CutInMidst(0, {.skip = 100'000});
    cluster.Kill(0);
    cluster.Start(0);
    loop.RunFor(std::chrono::seconds(2));
    EXPECT_GT(calls(), before);
    cluster.CrashAll();
  }
  std::fclose(file);
}

}  // namespace
}  // namespace flotilla::sim
