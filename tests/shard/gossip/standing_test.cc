// Who is believed to be what.
#include "tests/shard/gossip/script.h"

namespace flotilla::gossip {
namespace {

// Of a script with one other member, or two.
constexpr std::uint64_t kPeriod = GossipCoreOptions{}.period_ticks;
constexpr std::uint64_t kSuspicion = GossipCoreOptions{}.suspicion_factor * 2 * kPeriod;

TEST(GossipStanding, OneWhoDoesNotAnswerIsSuspectedThenDead) {
  Script script;
  script.Meet({2});
  EXPECT_TRUE(script.Changed(2, ChangeKind::kAlive));
  EXPECT_EQ(script.TickToProbe(), NodeId(2));
  script.Forget();
  script.Tick(kPeriod - 1);
  EXPECT_EQ(script.Of(2), Alive(1)) << "it has the whole period";
  script.Tick();
  EXPECT_EQ(script.Of(2), Suspect(1));
  EXPECT_TRUE(script.Changed(2, ChangeKind::kSuspect));
  EXPECT_EQ(script.Told(2), Suspect(1));
  script.Tick(kSuspicion - 1);
  EXPECT_EQ(script.Of(2), Suspect(1)) << "it has time to refute";
  script.Tick();
  EXPECT_EQ(script.Of(2), Dead(1));
  EXPECT_TRUE(script.Changed(2, ChangeKind::kDead));
}

TEST(GossipStanding, OneWhoAnswersIsNotSuspected) {
  Script script;
  script.Meet({2});
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(script.TickToProbe(), NodeId(2));
    script.Send(2, Ack{script.Sent<Ping>()->number});
  }
  EXPECT_EQ(script.Of(2), Alive(1));
  EXPECT_TRUE(script.changes.empty());
}

TEST(GossipStanding, RefutesASuspicionOfItselfByAHigherIncarnation) {
  Script script;
  script.Meet({2});
  script.Hear(2, {Says(1, Suspect(1))});
  EXPECT_EQ(script.Of(1), Alive(2));
  script.Send(2, Ping{ProbeNumber(5)});
  EXPECT_EQ(script.Told(1), Alive(2));
  EXPECT_EQ(script.sent.back().message.sender, Alive(2));
  script.Hear(2, {Says(1, Suspect(1))});
  EXPECT_EQ(script.Of(1), Alive(2)) << "that is settled";
  script.Hear(2, {Says(1, Dead(7))});
  EXPECT_EQ(script.Of(1), Alive(8));
  script.Hear(2, {Says(1, Left(8))});
  EXPECT_EQ(script.Of(1), Alive(9));
}

TEST(GossipStanding, ASuspicionEndsByAHigherIncarnationOnly) {
  Script script;
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Suspect(1))});
  EXPECT_EQ(script.Of(2), Suspect(1));
  script.Hear(3, {Says(2, Alive(1))});
  EXPECT_EQ(script.Of(2), Suspect(1)) << "said before the suspicion, for all one knows";
  script.Forget();
  script.Hear(3, {Says(2, Alive(2))});
  EXPECT_EQ(script.Of(2), Alive(2));
  EXPECT_TRUE(script.Changed(2, ChangeKind::kAlive));
  script.Hear(3, {Says(2, Suspect(1))});
  EXPECT_EQ(script.Of(2), Alive(2));
  script.Tick(kSuspicion + kPeriod);
  EXPECT_NE(script.Of(2), Dead(1)) << "the old suspicion has no deadline any more";
}

TEST(GossipStanding, WhatTheNodeItselfSaysCounts) {
  Script script;
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Suspect(1))});
  script.Send(2, Ping{ProbeNumber(5)}, {}, Alive(2));
  EXPECT_EQ(script.Of(2), Alive(2));
}

TEST(GossipStanding, WhoeverIsNotHeldAliveIsToldSoFirst) {
  Script script;
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Suspect(1)), Says(3, Alive(4))});
  for (int i = 0; i < 100; ++i) {
    script.Forget();
    script.Send(2, Ping{ProbeNumber(5)});
    const std::vector<Rumour>& rumours = script.sent.back().message.rumours;
    ASSERT_FALSE(rumours.empty()) << "also when everyone has been told often enough";
    EXPECT_EQ(std::get<StandingRumour>(rumours[0]), std::get<StandingRumour>(Says(2, Suspect(1))));
  }
}

TEST(GossipStanding, TheDeadAreNotRaisedByStaleRumours) {
  Script script;
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Suspect(1))});
  script.Tick(kSuspicion);
  ASSERT_EQ(script.Of(2), Dead(1));
  script.Forget();
  script.Hear(3, {Says(2, Alive(1)), Says(2, Suspect(1)), Says(2, Dead(1))});
  script.Send(2, Ping{ProbeNumber(1)}, {}, Alive(1));
  script.Send(3, SyncReply{Page{.members = {{.node = NodeId(2), .standing = Alive(1)}}}});
  EXPECT_EQ(script.Of(2), Dead(1));
  EXPECT_TRUE(script.changes.empty());
  script.Hear(3, {Says(2, Alive(2))});
  EXPECT_EQ(script.Of(2), Alive(2));
  EXPECT_TRUE(script.Changed(2, ChangeKind::kAlive));
}

TEST(GossipStanding, ADeathIsBelievedByThoseWhoHaveSuspected) {
  Script script;
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Dead(1))});
  EXPECT_EQ(script.Of(2), Suspect(1)) << "nobody here has suspected it: let it speak";
  script.Tick(kSuspicion / 2 - 1);
  script.Hear(3, {Says(2, Dead(1))});
  EXPECT_EQ(script.Of(2), Suspect(1));
  script.Tick();
  script.Hear(3, {Says(2, Dead(1))});
  EXPECT_EQ(script.Of(2), Dead(1));

  // Another incarnation is suspected for a time of its own.
  script.Hear(3, {Says(2, Suspect(2))});
  EXPECT_EQ(script.Of(2), Suspect(2));
  script.Hear(3, {Says(2, Dead(3))});
  EXPECT_EQ(script.Of(2), Suspect(3));
}

TEST(GossipStanding, ADeathOrFarewellOfAStrangerMakesNobodyKnown) {
  Script script;
  script.Meet({2});
  script.Hear(2, {Says(3, Dead(4)), Says(4, Left(1))});
  script.Send(2, SyncReply{Page{.members = {{.node = NodeId(5), .standing = Dead(1)}}}});
  EXPECT_EQ(script.core().members().entries().size(), 2u);
  script.Hear(2, {Says(3, Suspect(4))});
  EXPECT_EQ(script.Of(3), Suspect(4));
}

TEST(GossipStanding, OneThatHasLeftIsNotProbedAndDoesNotDie) {
  Script script;
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Left(1))});
  EXPECT_EQ(script.Of(2), Left(1));
  EXPECT_TRUE(script.Changed(2, ChangeKind::kLeft));
  script.Hear(3, {Says(2, Suspect(1)), Says(2, Dead(1)), Says(2, Alive(1))});
  EXPECT_EQ(script.Of(2), Left(1));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(script.TickToProbe(), NodeId(3));
    script.Send(3, Ack{script.Sent<Ping>()->number});
  }
  EXPECT_EQ(script.Of(2), Left(1));
  script.Send(2, SyncRequest{}, {}, Alive(2));
  EXPECT_EQ(script.Of(2), Alive(2)) << "it has come back";
}

TEST(GossipStanding, AFarewellOverridesADeath) {
  Script script;
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Suspect(1))});
  script.Tick(kSuspicion);
  ASSERT_EQ(script.Of(2), Dead(1));
  script.Hear(3, {Says(2, Left(1))});
  EXPECT_EQ(script.Of(2), Left(1));
}

TEST(GossipStanding, WhoeverLeavesSaysFarewellAndDisturbsNobody) {
  Script script;
  script.Meet({2, 3, 4, 5});
  script.Forget();
  script.core().Leave();
  script.Take();
  std::set<NodeId> told;
  for (const GossipCore::Outgoing& outgoing : script.sent) {
    EXPECT_EQ(outgoing.message.sender, Left(1));
    told.insert(outgoing.to);
  }
  EXPECT_EQ(told.size(), 4u);
  EXPECT_EQ(script.Told(1), Left(1));
  script.Forget();
  script.Hear(2, {Says(1, Suspect(1)), Says(1, Dead(7)), Says(1, Alive(9))});
  script.core().SetLoad({.leaders = 1});
  script.Tick(1000);
  EXPECT_EQ(script.Of(1), Left(1)) << "it refutes nothing";
  EXPECT_EQ(script.Of(2), Alive(1)) << "and accuses nobody";
  EXPECT_TRUE(script.sent.empty());
  script.Send(2, Ping{ProbeNumber(7)});
  ASSERT_NE(script.Sent<Ack>(), nullptr);
  EXPECT_EQ(script.sent[0].message.sender, Left(1)) << "whoever has not heard it hears it now";
}

TEST(GossipStanding, WhoeverHasLeftDoesNotForgetItself) {
  GossipCoreOptions options;
  options.forget_periods = 20;
  options.members_max = 3;
  Script script(options);
  script.Meet({2, 3});
  script.core().Leave();
  script.Tick(21 * kPeriod);
  script.Meet({4});
  EXPECT_EQ(script.Of(1), Left(1));
}

// A node that restarts, and whose wall clock has gone back.
TEST(GossipStanding, AnEarlierLifeIsOutlived) {
  Script script;
  script.Hear(2, {Says(1, Alive(9))});
  EXPECT_EQ(script.Of(1), Alive(10));
  script.Send(2, Ping{ProbeNumber(1)});
  EXPECT_EQ(script.Told(1), Alive(10));
}

TEST(GossipStanding, TheDeadAndDepartedAreForgottenInTime) {
  GossipCoreOptions options;
  options.forget_periods = 20;
  Script script(options);
  script.Meet({2, 3, 4});
  script.Hear(4, {Says(2, Left(1)), Says(3, Suspect(1))});
  script.Tick(20 * kPeriod);
  EXPECT_EQ(script.Of(2), std::nullopt);
  EXPECT_TRUE(script.Changed(2, ChangeKind::kForgotten));
  ASSERT_EQ(script.Of(3), Dead(1));
  script.Tick(20 * kPeriod);
  EXPECT_EQ(script.Of(3), std::nullopt);
  script.Hear(4, {Says(2, Left(1)), Says(3, Dead(1))});
  EXPECT_EQ(script.Of(2), std::nullopt);
  EXPECT_EQ(script.Of(3), std::nullopt) << "late news raise nobody";
}

TEST(GossipStanding, TheTableIsBounded) {
  GossipCoreOptions options;
  options.members_max = 10;
  Script script(options);
  for (std::uint64_t node = 2; node <= 100; ++node) {
    script.Hear(2, {Says(node, Alive(1))});
    script.Send(node, Ping{ProbeNumber(1)});
  }
  EXPECT_EQ(script.core().members().entries().size(), 10u);
  EXPECT_EQ(script.AllSent<Ack>().size(), 99u) << "whoever has no room still gets an answer";
  script.Hear(2, {Says(3, Left(1)), Says(50, Alive(1))});
  EXPECT_EQ(script.Of(3), std::nullopt);
  EXPECT_TRUE(script.Changed(3, ChangeKind::kForgotten));
  EXPECT_EQ(script.Of(50), Alive(1));
  EXPECT_LE(script.core().waiting_rumours(), 3u * 10u);
}

TEST(GossipStanding, MessagesFromNobodyAndFromItselfSayNothing) {
  Script script;
  script.Send(0, Ping{ProbeNumber(1)}, {Says(5, Alive(1))});
  script.Send(1, Ping{ProbeNumber(1)}, {Says(5, Alive(1))}, Alive(99));
  EXPECT_TRUE(script.sent.empty());
  EXPECT_EQ(script.Of(1), Alive(1));
  EXPECT_EQ(script.Of(5), std::nullopt);
}

}  // namespace
}  // namespace flotilla::gossip
