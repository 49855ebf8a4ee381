// Learners that join, and entries that change what members must have (kControl): nobody meets one
// of before it was a member.

#include <gtest/gtest.h>

#include "tests/raft/core/script.h"

namespace flotilla::raft {
namespace {

ProposeResult ProposeControl(Cluster& cluster, std::uint64_t id) {
  std::vector<Bytes> payloads;
  payloads.emplace_back("split");
  ProposeResult result = cluster.core(id).Propose(std::move(payloads), EntryKind::kControl);
  cluster.Drain(id);
  return result;
}

// The lowest index of an entry that was sent to this node from now on.
class Watch {
 public:
  Watch(Cluster& cluster, std::uint64_t to) {
    cluster.drop = [this, to](const Message& message) {
      const auto* append = std::get_if<AppendRequest>(&message.body);
      if (append == nullptr || message.to != N(to)) return false;
      for (const Entry& entry : append->entries) lowest_ = std::min(lowest_, entry.index);
      return false;
    };
  }
  Index lowest() const { return lowest_; }

 private:
  Index lowest_{UINT64_MAX};
};

TEST(RaftJoining, ALearnerGetsASnapshotThoughTheLogReachesBackToItsBeginning) {
  Cluster cluster;
  cluster.AddNode(4);
  cluster.Elect(1);
  for (int i = 0; i < 5; ++i) cluster.Propose(1, "x");
  cluster.Settle();
  const Watch watch(cluster, 4);
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3}, {4}), MembershipRefusal::kNone);
  const Index joined = cluster.core(1).last_index();
  cluster.Round(20);
  cluster.Propose(1, "y");
  cluster.Round(5);
  EXPECT_EQ(cluster.core(4).commit(), cluster.core(1).last_index());
  EXPECT_GT(watch.lowest(), joined);
  EXPECT_EQ(cluster.core(4).Status().snapshot.index, joined);
}

// It has a log, and has not heard that it was removed meanwhile.
TEST(RaftJoining, OneThatComesBackGetsASnapshot) {
  Cluster cluster;
  cluster.Elect(1);
  cluster.Propose(1, "x");
  cluster.Settle();
  cluster.Isolate({3});
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2}), MembershipRefusal::kNone);
  cluster.Settle();
  ASSERT_TRUE(ProposeControl(cluster, 1).first);
  cluster.Settle();
  const Watch watch(cluster, 3);
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2}, {3}), MembershipRefusal::kNone);
  const Index joined = cluster.core(1).last_index();
  cluster.Settle();
  cluster.Heal();
  cluster.Round(40);
  const std::uint64_t leader = cluster.leader();
  EXPECT_EQ(cluster.core(3).commit(), cluster.core(leader).commit());
  EXPECT_GT(watch.lowest(), joined);
}

// What it has not applied may be an entry that the learner must not meet.
TEST(RaftJoining, ASnapshotForALearnerHasAllOfBeforeTheTerm) {
  Cluster cluster({.instant_apply = false});
  cluster.AddNode(4);
  cluster.Elect(1);
  cluster.core(1).Applied(I(1));
  cluster.Isolate({4});
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 2, 3}, {4}), MembershipRefusal::kNone);
  cluster.Settle();
  cluster.Elect(2);
  cluster.Round(1);
  cluster.Heal();
  for (int i = 0; i < 10; ++i) {
    cluster.Tick(2);
    cluster.DeliverAll();
  }
  const Index start = cluster.core(2).last_index();
  ASSERT_EQ(cluster.core(2).commit(), start);
  EXPECT_TRUE(cluster.at(2).snapshot_wanted_by.empty());
  cluster.core(2).Applied(start.Previous());
  cluster.Drain(2);
  EXPECT_TRUE(cluster.at(2).snapshot_wanted_by.empty());
  cluster.core(2).Applied(start);
  cluster.Drain(2);
  EXPECT_EQ(cluster.at(2).snapshot_wanted_by, std::vector<NodeId>{N(4)});
}

TEST(RaftJoining, MembersChangeOnlyOnceTheLeaderHasAppliedWhatMayMatter) {
  Cluster cluster({.instant_apply = false});
  cluster.AddNode(4);
  cluster.Elect(1);
  const auto change = [&] { return cluster.ChangeMembers(1, {1, 2, 3}, {4}); };
  EXPECT_EQ(cluster.core(1).commit(), I(1));
  EXPECT_EQ(change(), MembershipRefusal::kChangeUnderWay) << "the no-op is not applied";
  cluster.core(1).Applied(I(1));
  ASSERT_TRUE(ProposeControl(cluster, 1).first);
  cluster.Propose(1, "x");
  cluster.Settle();
  EXPECT_EQ(cluster.core(1).commit(), I(3));
  EXPECT_EQ(change(), MembershipRefusal::kChangeUnderWay) << "nor is the control entry";
  cluster.core(1).Applied(I(2));
  EXPECT_EQ(change(), MembershipRefusal::kNone);
}

TEST(RaftJoining, NoControlEntryWhileMembersChange) {
  Cluster cluster;
  for (std::uint64_t id : {4, 5}) cluster.AddNode(id);
  cluster.Elect(1);
  cluster.Isolate({2, 3});
  ASSERT_EQ(cluster.ChangeMembers(1, {1, 4, 5}), MembershipRefusal::kNone);
  cluster.Round(1);
  EXPECT_EQ(ProposeControl(cluster, 1).refusal, ProposeRefusal::kMembersChanging);
  EXPECT_TRUE(cluster.Propose(1, "x").first);
  cluster.Heal();
  cluster.Round(60);
  const std::uint64_t leader = cluster.leader();
  ASSERT_FALSE(cluster.core(leader).configuration().joint());
  EXPECT_TRUE(ProposeControl(cluster, leader).first);
}

}  // namespace
}  // namespace flotilla::raft
