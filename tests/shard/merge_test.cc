// A shard takes in its right neighbour while it is used.

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "tests/shard/merging.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
  // As the first of the nodes has it.
  std::uint64_t rows = 0;
  const auto rows_of_left = [&] {
    for (int node = 0; node < 3; ++node) {
      world_.node(node).StateHash(
          left_, [&rows](const auto& hash) { rows = std::max(rows, hash->second & 0xffffffff); });
    }
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

// A node of the left is to be emptied when the right has begun to move to it: now the left would
// move instead.
TEST_F(Merging, AMoveThatHasBegunIsTakenBackWhicheverWouldMoveNow) {
  MakeTwo();
  const JobId job = Merge();
  ASSERT_TRUE(world_.Await([&] { return !Holder(kMiddle).learners.empty(); }));
  NodeId emptied;
  for (const NodeId node : Holder(0).voters) {
    if (!Holder(kMiddle).Has(node)) emptied = node;
  }
  ASSERT_TRUE(emptied);
  const DirectoryAnswer drain =
      Change(0, SetNodeRoleCall{.node = emptied, .role = NodeRole::kDraining});
  ASSERT_TRUE(drain.status.ok()) << drain.status;
  EXPECT_EQ(AwaitJob(0, job)->state, JobState::kFailed);
  EXPECT_TRUE(world_.Await([&] { return Holder(kMiddle).learners.empty(); }));
  EXPECT_EQ(Holder(kMiddle).voters.size(), 3u);
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

// Page by page, of a range keyspace and of a hashed one.
TEST_F(Merging, ScansMissNothingAndSeeNothingTwice) {
  for (const bool hashed : {false, true}) {
    SCOPED_TRACE(hashed ? "hashed" : "by ranges");
    Scene scene(5);
    if (hashed) {
      scene.keyspace_ = scene.Make({.name = "b", .partitioning = Partitioning::kHash, .shards = 2});
      scene.left_ =
          scene.world_.node(0).DirectoryView()->Locate(kv::KeyspaceStart(scene.keyspace_))->group;
      for (const auto& [key, value] : scene.values_) scene.Write(0, key, value);
    }
    std::string wanted;
    for (const auto& [key, value] : scene.values_) wanted += KeyOf(key);
    scene.Merge();
    int scans = 0;
    for (int more = 3; more > 0; more -= scene.ShardsOf(0, scene.keyspace_) == 1) {
      std::string seen;
      kv::ScanRequest scan{.keyspace = scene.keyspace_, .start = "k", .end = "l", .limit = 3};
      for (bool unfinished = true; unfinished;) {
        const GatewayAnswer answer = scene.Ask(scans % 5, ScanCall{.request = scan});
        ASSERT_TRUE(answer.status.ok()) << answer.status;
        const auto& page = std::get<kv::ScanPage>(answer.result);
        for (const kv::ScanRow& row : page.rows) seen += row.key;
        unfinished = page.more;
        scan.start = page.resume_key;
      }
      EXPECT_EQ(seen, wanted);
      ++scans;
    }
    EXPECT_GT(scans, 10);
  }
}

}  // namespace
}  // namespace flotilla
