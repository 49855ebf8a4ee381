// A shard takes in its right neighbour, whoever fails, and whenever.

#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "tests/shard/merging.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
