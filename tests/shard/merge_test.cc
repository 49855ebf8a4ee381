// A shard takes in its right neighbour: while it is written to, whoever fails, and whenever.

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "tests/shard/shards.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string KeyOf(int i) { return fmt::format("k{:03}", i); }
constexpr int kMiddle = 50;

class Merging : public Shards {
 protected:
  explicit Merging(int nodes = 5) : Shards(nodes) {}

  // Two shards of keys on both sides of the middle.
  void MakeTwo(std::uint32_t replicas = 3) {
    keyspace_ = Make({.name = "a", .replicas = replicas, .split_keys = {KeyOf(kMiddle)}});
    left_ = Holder(0).group;
    right_ = Holder(kMiddle).group;
    for (int i = 0; i < 2 * kMiddle; i += 10) Write(i % 5, i, "first");
  }
  ShardDescriptor Holder(int key, int node = 0) {
    const auto image = world_.node(node).DirectoryView();
    const ShardDescriptor* shard = image->Locate(kv::EncodeKey(keyspace_, KeyOf(key)));
    return shard == nullptr ? ShardDescriptor() : *shard;
  }
  void Write(int node, int key, const std::string& value) {
    const GatewayAnswer put = Ask(node, Puts(keyspace_, {{KeyOf(key), value}}));
    ASSERT_TRUE(put.status.ok()) << put.status;
    values_[key] = value;
  }
  void ExpectAllOn(int node) {
    for (const auto& [key, value] : values_) {
      const GatewayAnswer got = Ask(node, GetCall{.keyspace = keyspace_, .key = KeyOf(key)});
      EXPECT_EQ(NodeWorld::ValueOf(got), value) << KeyOf(key) << " on node " << node + 1;
    }
  }
  JobId Merge(int node = 0) {
    const DirectoryAnswer begun = Change(node, MergeCall{.left = left_});
    EXPECT_TRUE(begun.status.ok()) << begun.status;
    return begun.job;
  }
  void ExpectMerged(JobId id, int node = 0) {
    const JobRecord* job = AwaitJob(node, id);
    EXPECT_EQ(job->state, JobState::kDone) << job->error << job->step;
    EXPECT_EQ(ShardsOf(node, keyspace_), 1u);
    EXPECT_EQ(Holder(kMiddle, node).group, left_);
  }
  void ExpectRightGone() {
    const std::string path = "/data/groups/" + std::to_string(right_.value());
    for (int node = 0; node < world_.cluster().size(); ++node) {
      EXPECT_TRUE(world_.Await([&] { return !HasDirectory(node, path); })) << "node " << node + 1;
    }
  }

  kv::KeyspaceId keyspace_{0};
  GroupId left_;
  GroupId right_;
  std::map<int, std::string> values_;
};

TEST_F(Merging, TwoShardsBecomeOne) {
  MakeTwo();
  ExpectMerged(Merge());
  for (int node = 0; node < 5; ++node) ExpectAllOn(node);
  ExpectRightGone();
  for (int i = 0; i < 2 * kMiddle; i += 7) Write(i % 5, i, "second");
  for (int node = 0; node < 5; ++node) ExpectAllOn(node);
}

}  // namespace
}  // namespace flotilla
