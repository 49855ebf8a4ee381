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

// Writes to a few keys of both shards, one after the other to each, and reads what it wrote.
class Merging::Writers {
 public:
  Writers(Merging* merging, std::vector<int> nodes) : merging_(merging), nodes_(std::move(nodes)) {
    for (int i = 0; i < 2 * kMiddle; i += 20) writers_.push_back({.key = i});
  }

  // Errors are none of the client's that asks a node that stays.
  void RunFor(Duration time) {
    Await([] { return false; }, time);
  }
  bool Await(const std::function<bool()>& condition, Duration within = seconds(30)) {
    NodeWorld& world = merging_->world_;
    const MonoTime end = world.loop().now() + within;
    for (;;) {
      Look();
      if (condition()) return true;
      if (world.loop().now() >= end) return false;
      world.RunFor(milliseconds(1));
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
      writer.answer =
          world.Begin(nodes_[writer.sequence % nodes_.size()],
                      WriteCall{.command = Bytes(kv::EncodeCommand(command))}, seconds(30));
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

TEST_F(MergingOfThree, NoWriteWaitsLong) {
  MakeTwo();
  Writers writers(this, {0, 1, 2});
  writers.RunFor(milliseconds(50));
  const JobId job = Merge();
  EXPECT_TRUE(writers.Await([&] { return ShardsOf(0, keyspace_) == 1; }));
  writers.RunFor(milliseconds(50));
  EXPECT_LT(writers.slowest(), milliseconds(100));
  writers.Finish();
  ExpectMerged(job);
  for (int node = 0; node < 3; ++node) ExpectAllOn(node);
  ExpectRightGone();
}

TEST_F(Merging, OneOfThemComesToWhereTheOtherIs) {
  for (const bool left_moves : {false, true}) {
    SCOPED_TRACE(left_moves ? "the left" : "the right");
    Scene scene(5);
    // Where people have put the other one.
    const GroupId placed = left_moves ? scene.right_ : scene.left_;
    const GroupId comes = left_moves ? scene.left_ : scene.right_;
    const ShardDescriptor there = *scene.world_.node(0).DirectoryView()->Find(placed);
    NodeId to;
    for (int i = 1; i <= 5 && !to; ++i) {
      if (!there.voters.contains(NodeId(i))) to = NodeId(i);
    }
    const DirectoryAnswer moved =
        scene.Change(0, MoveCall{.group = placed, .from = *there.voters.begin(), .to = to});
    ASSERT_TRUE(moved.status.ok()) << moved.status;
    ASSERT_EQ(scene.AwaitJob(0, moved.job)->state, JobState::kDone);
    const auto before = scene.world_.node(0).DirectoryView();
    const std::set<NodeId> wanted = before->Find(placed)->voters;
    ASSERT_NE(wanted, before->Find(comes)->voters);
    Writers writers(&scene, {0, 1, 2, 3, 4});
    const JobId job = scene.Merge(1);
    EXPECT_EQ(ReasonOf(scene.Change(1, SplitCall{.group = scene.left_, .key = {}}).status),
              Reason::kShardBusy);
    EXPECT_TRUE(writers.Await([&] { return scene.ShardsOf(0, scene.keyspace_) == 1; }));
    writers.Finish();
    scene.ExpectMerged(job);
    // Who may be moved has been.
    EXPECT_EQ(scene.Holder(0).voters, wanted);
    for (int node = 0; node < 5; ++node) scene.ExpectAllOn(node);
    scene.ExpectRightGone();
  }
}

// The fault comes a little later each time. Three nodes all have both shards; of five some have to
// get one first.
template <class Fault>
void AtEveryMoment(int nodes, Duration step, Fault fault) {
  bool before_its_end = true;
  int moments = 0;
  for (Duration after = milliseconds(0); before_its_end; after += step) {
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

// It resumes, or undoes and begins again; two nodes may believe that it is theirs.
void LetTheRunnerDie(Scene& scene, JobId job) {
  const int nodes = scene.world_.cluster().size();
  const int runner = scene.world_.AwaitLeader(-1, kDirectoryGroup);
  scene.world_.cluster().Crash(runner);
  const int other = (runner + 1) % nodes;
  Scene::Writers writers(&scene, {other});
  writers.RunFor(milliseconds(200));
  ASSERT_TRUE(scene.world_.cluster().Start(runner)) << scene.world_.cluster().failure();
  EXPECT_TRUE(writers.Await([&] { return scene.ShardsOf(other, scene.keyspace_) == 1; }));
  writers.Finish();
  scene.ExpectMerged(job, other);
  scene.ExpectRightGone();
  for (int node = 0; node < nodes; ++node) scene.ExpectAllOn(node);
}

TEST_F(Merging, TheNodeThatRunsTheJobDiesAtAnyMoment) {
  AtEveryMoment(3, milliseconds(1), LetTheRunnerDie);
}

TEST_F(Merging, TheNodeThatRunsTheJobDiesWhileReplicasMove) {
  AtEveryMoment(5, milliseconds(100), LetTheRunnerDie);
}

TEST_F(Merging, TheNodeThatRunsTheJobIsCutOffAtAnyMoment) {
  AtEveryMoment(3, milliseconds(1), [](Scene& scene, JobId job) {
    const int runner = scene.world_.AwaitLeader(-1, kDirectoryGroup);
    const int other = (runner + 1) % 3;
    scene.world_.CutOff(runner);
    Writers writers(&scene, {other});
    writers.RunFor(milliseconds(1500));
    scene.world_.network().HealAll();
    EXPECT_TRUE(writers.Await([&] { return scene.ShardsOf(other, scene.keyspace_) == 1; }));
    writers.Finish();
    scene.ExpectMerged(job, other);
    scene.ExpectRightGone();
    for (int node = 0; node < 3; ++node) scene.ExpectAllOn(node);
  });
}

TEST_F(Merging, AllPowerGoesAtAnyMoment) {
  AtEveryMoment(3, milliseconds(1), [](Scene& scene, JobId job) {
    for (int node = 0; node < 3; ++node) scene.world_.cluster().Crash(node);
    for (int node = 0; node < 3; ++node) {
      ASSERT_TRUE(scene.world_.cluster().Start(node)) << scene.world_.cluster().failure();
    }
    ASSERT_TRUE(scene.world_.Await([&] { return scene.world_.AllReady(); }));
    scene.ExpectMerged(job);
    for (int node = 0; node < 3; ++node) scene.ExpectAllOn(node);
    scene.ExpectRightGone();
    scene.Write(1, 3, "later");
    scene.Write(2, kMiddle + 3, "later");
    for (int node = 0; node < 3; ++node) scene.ExpectAllOn(node);
  });
}

TEST_F(Merging, ItIsCancelledAtAnyMomentAndRepeated) {
  int cancelled = 0;
  AtEveryMoment(5, milliseconds(100), [&](Scene& scene, JobId job) {
    Writers writers(&scene, {0, 1, 2});
    scene.Change(1, CancelJobCall{.job = job});
    const JobState end = scene.AwaitJob(0, job)->state;
    if (end == JobState::kCancelled) {
      ++cancelled;
      EXPECT_EQ(scene.ShardsOf(0, scene.keyspace_), 2u);
      writers.RunFor(milliseconds(20));
      const JobId again = scene.Merge(2);
      EXPECT_TRUE(writers.Await([&] { return scene.ShardsOf(0, scene.keyspace_) == 1; }));
      scene.ExpectMerged(again);
    } else {
      EXPECT_EQ(end, JobState::kDone);
    }
    writers.Finish();
    scene.ExpectRightGone();
    for (int node = 0; node < 5; ++node) scene.ExpectAllOn(node);
  });
  EXPECT_GT(cancelled, 10);
}

TEST_F(MergingOfThree, AMemberThatIsDownHoldsUpTheMergeAndNothingElse) {
  MakeTwo();
  const int down = (world_.AwaitLeader(-1, kDirectoryGroup) + 1) % 3;
  const int up = (down + 1) % 3;
  world_.cluster().Crash(down);
  Writers writers(this, {up});
  writers.RunFor(seconds(3));
  writers.Forget();
  const JobId job = Merge(up);
  writers.RunFor(seconds(5));
  EXPECT_LT(writers.slowest(), milliseconds(100));
  const JobRecord waits = *world_.node(up).DirectoryView()->Find(job);
  EXPECT_EQ(waits.state, JobState::kRunning);
  EXPECT_NE(waits.step.find(fmt::format("node {} does not answer", down + 1)), std::string::npos)
      << waits.step;
  ASSERT_TRUE(world_.cluster().Start(down)) << world_.cluster().failure();
  EXPECT_TRUE(writers.Await([&] { return ShardsOf(up, keyspace_) == 1; }));
  writers.Finish();
  ExpectMerged(job, up);
  ExpectRightGone();
  for (int node = 0; node < 3; ++node) ExpectAllOn(node);
}

TEST_F(Merging, AMemberDiesAtAnyMomentAndNothingStandsStillForLong) {
  int waited = 0;
  AtEveryMoment(3, milliseconds(2), [&](Scene& scene, JobId job) {
    const int down = (scene.world_.AwaitLeader(-1, kDirectoryGroup) + 1) % 3;
    const int up = (down + 1) % 3;
    scene.world_.cluster().Crash(down);
    Writers writers(&scene, {up});
    writers.RunFor(seconds(4));
    EXPECT_LT(writers.slowest(), milliseconds(2500));
    waited += scene.ShardsOf(up, scene.keyspace_) == 2;
    ASSERT_TRUE(scene.world_.cluster().Start(down)) << scene.world_.cluster().failure();
    EXPECT_TRUE(writers.Await([&] { return scene.ShardsOf(up, scene.keyspace_) == 1; }));
    writers.Finish();
    scene.ExpectMerged(job, up);
    scene.ExpectRightGone();
    for (int node = 0; node < 3; ++node) scene.ExpectAllOn(node);
  });
  EXPECT_GT(waited, 5);
}

// It has not heard of the merge, and its clients write through it.
TEST_F(Merging, AWriteOnAStaleRouteReachesTheWhole) {
  MakeTwo();
  const std::set<NodeId> members = Holder(0).voters;
  Merge();
  int stale = 0;
  // One that has nothing to do with it, in the end.
  ASSERT_TRUE(world_.Await([&] { return Holder(kMiddle).voters == Holder(0).voters; }));
  while (Holder(0).voters.contains(NodeId(stale + 1))) ++stale;
  const int other = (stale + 1) % 5;
  world_.CutOff(stale);
  EXPECT_TRUE(world_.Await([&] { return ShardsOf(other, keyspace_) == 1; }));
  Write(other, kMiddle, "while it was away");
  ASSERT_EQ(ShardsOf(stale, keyspace_), 2u);
  world_.network().HealAll();
  Write(stale, kMiddle + 10, "on a stale route");
  ExpectAllOn(stale);
  ExpectAllOn(other);
}

// Its node is cut off when it has been done, and has not heard what became of it.
TEST_F(MergingOfThree, TheOldLeaderOfTheRightAnswersNothing) {
  MakeTwo();
  const int old = world_.AwaitLeader(-1, right_);
  const int other = (old + 1) % 3;
  const auto rows_of_left = [&] {
    std::uint64_t rows = 0;
    world_.node(old).StateHash(left_, [&](const auto& hash) { rows = hash->second & 0xffffffff; });
    world_.RunFor(std::chrono::microseconds(100));
    return rows;
  };
  Merge(other);
  while (rows_of_left() < values_.size()) ASSERT_EQ(ShardsOf(old, keyspace_), 2u);
  ASSERT_EQ(ShardsOf(old, keyspace_), 2u);
  ASSERT_TRUE(world_.node(old).Leads(right_));
  world_.CutOff(old);
  ASSERT_TRUE(world_.Await([&] { return ShardsOf(other, keyspace_) == 1; }));
  Write(other, kMiddle, "new");
  for (const kv::Consistency consistency :
       {kv::Consistency::kLinearizable, kv::Consistency::kEventual}) {
    GetCall get{.keyspace = keyspace_, .consistency = consistency, .key = KeyOf(kMiddle)};
    const GatewayAnswer got = world_.Wait(world_.Begin(old, std::move(get), milliseconds(100)));
    EXPECT_FALSE(got.status.ok()) << NodeWorld::ValueOf(got);
  }
  ASSERT_EQ(ShardsOf(old, keyspace_), 2u);
  world_.network().HealAll();
  ExpectAllOn(old);
}

// Who was away when the left absorbed has the right still, and gets all of it with a snapshot.
TEST_F(Merging, ASnapshotBringsTheMergeToWhoWasAway) {
  int by_snapshot = 0;
  AtEveryMoment(3, milliseconds(1), [&](Scene& scene, JobId job) {
    const int away = (scene.world_.AwaitLeader(-1, kDirectoryGroup) + 1) % 3;
    const int other = (away + 1) % 3;
    scene.world_.CutOff(away);
    const bool merged =
        scene.world_.Await([&] { return scene.ShardsOf(other, scene.keyspace_) == 1; }, seconds(2));
    if (merged && scene.ShardsOf(away, scene.keyspace_) == 2) {
      scene.Write(other, kMiddle, "new");
      // For who was there just now the log is kept.
      scene.world_.RunFor(seconds(1));
      for (int node = 0; node < 3; ++node) {
        if (node == away) continue;
        bool taken = false;
        scene.world_.node(node).TriggerSnapshot(
            scene.left_, NodeId(), scene.world_.loop().now() + seconds(2),
            [&](const StatusOr<Node::SnapshotTaken>& snapshot) { taken = snapshot.ok(); });
        EXPECT_TRUE(scene.world_.Await([&] { return taken; }));
      }
      ++by_snapshot;
    }
    scene.world_.network().HealAll();
    EXPECT_TRUE(scene.world_.Await([&] { return scene.ShardsOf(away, scene.keyspace_) == 1; },
                                   seconds(20)));
    scene.ExpectMerged(job, other);
    scene.ExpectRightGone();
    // It serves by itself.
    scene.world_.cluster().Crash(other);
    scene.ExpectAllOn(away);
  });
  EXPECT_GT(by_snapshot, 1);
}

// Groups of a node apply what they have at different times: one knows what another has yet to hear.
TEST_F(Merging, NodesThatApplyUnevenlyLosePowerAtAnyMoment) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Scene scene(3, 0.2, random.Fork());
    Writers writers(&scene, {0, 1, 2});
    const JobId job = scene.Merge();
    writers.RunFor(std::chrono::microseconds(random.Below(120'000)));
    writers.Finish();
    const int away = static_cast<int>(random.Below(3));
    scene.world_.cluster().Crash(away);
    scene.world_.RunFor(milliseconds(random.Below(300)));
    ASSERT_TRUE(scene.world_.cluster().Start(away)) << scene.world_.cluster().failure();
    scene.ExpectMerged(job, away);
    scene.ExpectRightGone();
    for (int node = 0; node < 3; ++node) scene.ExpectAllOn(node);
    ASSERT_EQ(scene.world_.cluster().failure(), "");
    if (testing::Test::HasFailure()) return;
  }
}

// The one that led before goes on with what it was at, and the next one begins; or undoes it.
TEST_F(Merging, SeveralNodesRunTheJobAtOneTime) {
  int cancelled = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Scene scene(3, 0.3, random.Fork());
    Writers writers(&scene, {0, 1, 2});
    JobId job = scene.Merge();
    const bool cancels = random.Chance(0.5);
    for (int changes = 0; changes < 4; ++changes) {
      if (changes == 1 && cancels) scene.Change(0, CancelJobCall{.job = job});
      const int next = static_cast<int>(random.Below(3));
      scene.world_.node(next).TransferLeadership(
          kDirectoryGroup, NodeId(static_cast<std::uint64_t>(next) + 1),
          scene.world_.loop().now() + seconds(1), [](const StatusOr<NodeId>&) {});
      writers.RunFor(std::chrono::microseconds(random.Below(60'000)));
    }
    writers.Await([&] {
      const JobRecord* now = scene.world_.node(0).DirectoryView()->Find(job);
      return now->state == JobState::kDone || now->state == JobState::kCancelled;
    });
    if (scene.AwaitJob(0, job)->state == JobState::kCancelled) {
      ++cancelled;
      writers.RunFor(milliseconds(100));
      job = scene.Merge();
    }
    EXPECT_TRUE(writers.Await([&] { return scene.ShardsOf(0, scene.keyspace_) == 1; }));
    writers.Finish();
    scene.ExpectMerged(job);
    scene.ExpectRightGone();
    for (int node = 0; node < 3; ++node) scene.ExpectAllOn(node);
    ASSERT_EQ(scene.world_.cluster().failure(), "");
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(cancelled, 3);
}

// Others may have work for the shards: to replace who is missing, say.
TEST_F(Merging, ItDoesNotWaitForEver) {
  for (const bool must_move : {false, true}) {
    SCOPED_TRACE(must_move ? "to be moved" : "to be frozen");
    Scene scene(must_move ? 5 : 3);
    std::set<NodeId> away = scene.Holder(0).voters;
    for (const NodeId node : scene.Holder(kMiddle).voters) {
      if (must_move) away.erase(node);
    }
    ASSERT_FALSE(away.empty());
    const int down = static_cast<int>(away.begin()->value()) - 1;
    const int up = down == 0 ? 1 : 0;
    scene.world_.cluster().Crash(down);
    const JobId job = scene.Merge(up);
    EXPECT_FALSE(scene.world_.Await(
        [&] {
          const JobRecord* now = scene.world_.node(up).DirectoryView()->Find(job);
          return now != nullptr && now->state != JobState::kRunning;
        },
        std::chrono::minutes(9)));
    scene.world_.RunFor(std::chrono::minutes(2));
    const JobRecord ended = *scene.AwaitJob(up, job);
    EXPECT_EQ(ended.state, must_move ? JobState::kCancelled : JobState::kFailed);
    scene.Write(up, 3, "later");
    scene.Write(up, kMiddle + 3, "later");
    ASSERT_TRUE(scene.world_.cluster().Start(down)) << scene.world_.cluster().failure();
    scene.world_.RunFor(seconds(2));
    scene.ExpectMerged(scene.Merge(up), up);
    for (const int node : {up, down}) scene.ExpectAllOn(node);
  }
}

TEST_F(Merging, TheirKeyspaceIsDroppedAtAnyMoment) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Scene scene(3, 0.2, random.Fork());
    const JobId job = scene.Merge();
    scene.world_.RunFor(std::chrono::microseconds(random.Below(100'000)));
    const DirectoryAnswer dropped = scene.Change(0, DropKeyspaceCall{.name = "a"});
    ASSERT_TRUE(dropped.status.ok()) << dropped.status;
    scene.AwaitJob(0, dropped.job);
    scene.AwaitJob(0, job);
    scene.ExpectGone(scene.left_);
    scene.ExpectGone(scene.right_);
    ASSERT_EQ(scene.world_.cluster().failure(), "");
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace flotilla
