// Merging: two neighbouring shards that are to become one, and who writes to them meanwhile.
#pragma once

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/shard/shards.h"

namespace flotilla {

inline std::string KeyOf(int i) { return fmt::format("k{:03}", i); }
inline constexpr int kMiddle = 50;

class Merging : public Shards {
 public:
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
  void ExpectRightGone() { ExpectGone(right_); }
  void ExpectGone(GroupId group) {
    const std::string path = "/data/groups/" + std::to_string(group.value());
    for (int node = 0; node < world_.cluster().size(); ++node) {
      EXPECT_TRUE(world_.Await([&] { return !HasDirectory(node, path); })) << "node " << node + 1;
    }
  }

  class Writers;

  kv::KeyspaceId keyspace_{0};
  GroupId left_;
  GroupId right_;
  std::map<int, std::string> values_;
};

// Writes to a few keys of both shards, one after the other to each, through nodes that stay: none
// of the writes may fail.
class Merging::Writers {
 public:
  Writers(Merging* merging, std::vector<int> nodes) : merging_(merging), nodes_(std::move(nodes)) {
    for (int i = 0; i < 2 * kMiddle; i += 20) writers_.push_back({.key = i});
  }

  void RunFor(Duration time) {
    Await([] { return false; }, time);
  }
  bool Await(const std::function<bool()>& condition, Duration within = std::chrono::seconds(30)) {
    NodeWorld& world = merging_->world_;
    const MonoTime end = world.loop().now() + within;
    for (;;) {
      Look();
      if (condition()) return true;
      if (world.loop().now() >= end) return false;
      world.RunFor(std::chrono::milliseconds(1));
    }
  }
  // Everything is answered; what was written is there.
  void Finish() {
    ending_ = true;
    EXPECT_TRUE(Await([&] {
      return std::all_of(writers_.begin(), writers_.end(),
                         [](const Writer& writer) { return writer.answer == nullptr; });
    }));
    for (const Writer& writer : writers_) {
      if (writer.sequence > 0) merging_->values_[writer.key] = std::to_string(writer.sequence);
    }
  }
  // The longest that an answer took.
  Duration slowest() const { return slowest_; }
  void Forget() { slowest_ = Duration(0); }

 private:
  struct Writer {
    int key;
    std::uint64_t sequence = 0;
    MonoTime begun{};
    NodeWorld::Answer answer = nullptr;
  };

  void Look() {
    NodeWorld& world = merging_->world_;
    for (Writer& writer : writers_) {
      if (writer.answer && writer.answer->has_value()) {
        const GatewayAnswer& answer = **writer.answer;
        EXPECT_TRUE(answer.status.ok()) << KeyOf(writer.key) << ": " << answer.status;
        slowest_ = std::max(slowest_, world.loop().now() - writer.begun);
        writer.answer = nullptr;
      }
      if (writer.answer || ending_) continue;
      const std::string key = KeyOf(writer.key);
      const std::string value = std::to_string(++writer.sequence);
      kv::CommandView command{
          .keyspace = merging_->keyspace_,
          .session = {.client = ClientId(static_cast<std::uint64_t>(writer.key) + 1),
                      .sequence = writer.sequence,
                      .acknowledged_below = writer.sequence},
          .ops = {{.key = key, .value = value}}};
      writer.begun = world.loop().now();
      writer.answer = world.Begin(nodes_[writer.sequence % nodes_.size()],
                                  WriteCall{.command = Bytes(kv::EncodeCommand(command))},
                                  std::chrono::seconds(30));
    }
  }

  Merging* const merging_;
  const std::vector<int> nodes_;
  std::vector<Writer> writers_;
  Duration slowest_{0};
  bool ending_ = false;
};

// In a loop over many moments, each with a cluster of its own.
class Scene final : public Merging {
 public:
  // `stalls`: how often a node holds up what it applies.
  explicit Scene(int nodes = 3, double stalls = 0, Random random = Random(1)) : Merging(nodes) {
    for (int node = 0; node < nodes; ++node) {
      world_.cluster().process(node)->StallApply(random.Fork(), stalls);
    }
    MakeTwo();
  }
  void TestBody() override {}
};

class MergingOfThree : public Merging {
 protected:
  MergingOfThree() : Merging(3) {}
};

// The fault comes a little later each time. Three nodes all have both shards; of five some have to
// get one first.
template <class Fault>
void AtEveryMoment(int nodes, Duration step, Fault fault) {
  bool before_its_end = true;
  int moments = 0;
  for (Duration after = std::chrono::milliseconds(0); before_its_end; after += step) {
    SCOPED_TRACE(testing::Message() << "after " << after.count() / 1'000 << " us");
    Scene scene(nodes);
    const JobId job = scene.Merge();
    scene.world_.RunFor(after);
    before_its_end = scene.ShardsOf(0, scene.keyspace_) == 2;
    fault(scene, job);
    if (testing::Test::HasFailure()) return;
    ++moments;
  }
  EXPECT_GT(moments, 10);
}

}  // namespace flotilla
