#include <gtest/gtest.h>

#include <map>
#include <set>

#include "shard/gossip/codec.h"
#include "shard/gossip/local_health.h"
#include "tests/shard/gossip/script.h"

namespace flotilla::gossip {
namespace {

// ---- ProbeOrder
// ----------------------------------------------------------------------------------

TEST(GossipProbeOrder, EachHasItsTurnOnceInEveryWalk) {
  ProbeOrder order{Random(1)};
  for (std::uint64_t node = 1; node <= 20; ++node) order.Add(NodeId(node));
  std::vector<NodeId> first_walk;
  for (int walk = 0; walk < 10; ++walk) {
    std::set<NodeId> seen;
    std::vector<NodeId> in_order;
    for (int i = 0; i < 20; ++i) in_order.push_back(order.Next());
    seen.insert(in_order.begin(), in_order.end());
    EXPECT_EQ(seen.size(), 20u);
    if (walk == 0) first_walk = in_order;
    if (walk == 1) {
      EXPECT_NE(in_order, first_walk) << "each walk in an order of its own";
    }
  }
}

TEST(GossipProbeOrder, WhoeverComesAndGoesMakesNobodyLoseATurn) {
  ProbeOrder order{Random(2)};
  Random random(3);
  std::map<NodeId, int> waited;
  for (std::uint64_t node = 1; node <= 30; ++node) order.Add(NodeId(node));
  for (std::uint64_t node = 1; node <= 10; ++node) waited[NodeId(node)] = 0;
  for (int turn = 0; turn < 5000; ++turn) {
    if (turn % 5 == 0) {
      // Ten stay; of the others one goes and one comes.
      const NodeId guest(11 + random.Below(20));
      order.Remove(guest);
      order.Add(guest);
    }
    const NodeId next = order.Next();
    for (auto& [node, turns] : waited) turns = node == next ? 0 : turns + 1;
    for (const auto& [node, turns] : waited) ASSERT_LE(turns, 2 * 30 + 30 / 5) << node.value();
  }
}

TEST(GossipProbeOrder, OfThoseWhoStayNobodyComesUpTwiceInAWalkOrIsLeftOut) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    ProbeOrder order{Random(seed)};
    for (std::uint64_t node = 1; node <= 20; ++node) order.Add(NodeId(node));
    std::set<NodeId> staying;
    for (std::uint64_t node = 1; node <= 15; ++node) staying.insert(NodeId(node));
    const auto turn = [&] {
      const NodeId next = order.Next();
      return next.value() > 15 || staying.erase(next) == 1;
    };
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(turn()) << seed;
    for (std::uint64_t node = 16; node <= 20; ++node) order.Remove(NodeId(node));
    for (std::uint64_t node = 21; node <= 30; ++node) order.Add(NodeId(node));
    for (int i = 0; i < 20 && !staying.empty(); ++i) ASSERT_TRUE(turn()) << seed;
    EXPECT_TRUE(staying.empty()) << seed;
  }
}

TEST(GossipProbeOrder, NobodyComesUpWhenNobodyIsThere) {
  ProbeOrder order{Random(1)};
  EXPECT_EQ(order.Next(), NodeId());
  order.Add(NodeId(4));
  EXPECT_EQ(order.Next(), NodeId(4));
  EXPECT_EQ(order.Next(), NodeId(4));
  order.Remove(NodeId(5));
  order.Remove(NodeId(4));
  EXPECT_EQ(order.Next(), NodeId());
}

TEST(GossipProbeOrder, SomeAreDifferentAndWithoutTheOneExcepted) {
  ProbeOrder order{Random(1)};
  for (std::uint64_t node = 1; node <= 5; ++node) order.Add(NodeId(node));
  std::set<NodeId> ever;
  for (int i = 0; i < 100; ++i) {
    const std::vector<NodeId> some = order.Some(3, NodeId(2));
    EXPECT_EQ(std::set<NodeId>(some.begin(), some.end()).size(), 3u);
    ever.insert(some.begin(), some.end());
  }
  EXPECT_EQ(ever, (std::set<NodeId>{NodeId(1), NodeId(3), NodeId(4), NodeId(5)}));
  EXPECT_EQ(order.Some(9, NodeId(2)).size(), 4u);
}

// ---- Rumours
// -------------------------------------------------------------------------------------

LoadRumour Load(std::uint64_t node, std::uint64_t version) {
  return {.node = NodeId(node),
          .load = std::make_shared<const LoadReport>(LoadReport{.version = FactVersion(version)})};
}

constexpr Rumours::Limits kThree{.sends_max = 3, .load_sends_max = 2};

TEST(GossipRumours, EachGoesOutABoundedNumberOfTimes) {
  Rumours rumours;
  rumours.Add(Says(1, Alive(1)));
  rumours.Add(Load(1, 1));
  std::vector<Rumour> out;
  for (int i = 0; i < 10; ++i) rumours.Take(1000, kThree, out);
  EXPECT_EQ(out.size(), 3u + 2u);
  EXPECT_EQ(rumours.size(), 0u);
}

TEST(GossipRumours, ANewerOneTakesThePlaceOfAnOlderOneAndStartsAnew) {
  Rumours rumours;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    rumours.Add(Says(1, Alive(i)));
    rumours.Add(Load(1, i));
  }
  EXPECT_EQ(rumours.size(), 2u);
  std::vector<Rumour> out;
  rumours.Take(1000, kThree, out);
  rumours.Add(Says(1, Alive(101)));
  for (int i = 0; i < 10; ++i) rumours.Take(1000, kThree, out);
  EXPECT_EQ(std::get<StandingRumour>(out.front()).standing, Alive(100));
  EXPECT_EQ(out.size(), 1u + 3u + 2u);
}

TEST(GossipRumours, WhatWentOutLeastGoesFirstAndNewsOfLifeBeforeLoads) {
  Rumours rumours;
  rumours.Add(Load(9, 1));
  rumours.Add(Says(1, Alive(1)));
  std::vector<Rumour> out;
  rumours.Take(1000, kThree, out);
  rumours.Add(Says(2, Dead(1)));
  out.clear();
  const std::size_t one = EncodedBytes(Says(2, Dead(1)));
  EXPECT_EQ(rumours.Take(one, kThree, out), one);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(std::get<StandingRumour>(out[0]).node, NodeId(2));
  out.clear();
  EXPECT_EQ(rumours.Take(2 * one, kThree, out), 2 * one);
  ASSERT_EQ(out.size(), 2u) << "the load has to wait";
}

TEST(GossipRumours, NeverTakesMoreThanThereIsRoomFor) {
  Rumours rumours;
  for (std::uint64_t node = 1; node <= 300; ++node) {
    rumours.Add(Says(node, Alive(1)));
    rumours.Add(Load(node, 1));
  }
  for (std::size_t room = 0; room < 200; ++room) {
    std::vector<Rumour> out;
    const std::size_t taken = rumours.Take(room, {.sends_max = 99, .load_sends_max = 99}, out);
    std::size_t bytes = 0;
    for (const Rumour& rumour : out) bytes += EncodedBytes(rumour);
    EXPECT_EQ(taken, bytes);
    EXPECT_LE(bytes, room);
  }
}

TEST(GossipRumours, OfAForgottenNodeNothingIsTold) {
  Rumours rumours;
  rumours.Add(Says(1, Alive(1)));
  rumours.Add(Load(1, 1));
  rumours.Add(Load(2, 1));
  rumours.Remove(NodeId(1));
  EXPECT_EQ(rumours.size(), 1u);
}

// ---- MemberTable
// ---------------------------------------------------------------------------------

TEST(GossipMemberTable, IsBoundedAndTheDeadMakeRoom) {
  MemberTable table(3);
  for (std::uint64_t node = 1; node <= 3; ++node) table.Insert(NodeId(node), Alive(1));
  EXPECT_EQ(table.Insert(NodeId(4), Alive(1)).entry, nullptr);
  table.SetStanding(*table.Find(NodeId(1)), Suspect(1), GossipTick(5));
  EXPECT_EQ(table.Insert(NodeId(4), Alive(1)).entry, nullptr) << "a suspect is a member";
  table.SetStanding(*table.Find(NodeId(3)), Dead(1), GossipTick(9));
  table.SetStanding(*table.Find(NodeId(2)), Left(1), GossipTick(8));
  const MemberTable::Inserted inserted = table.Insert(NodeId(4), Alive(1));
  ASSERT_NE(inserted.entry, nullptr);
  EXPECT_EQ(inserted.evicted, NodeId(2)) << "who would be forgotten first";
  EXPECT_EQ(table.entries().size(), 3u);
  EXPECT_EQ(table.present(), 2u);
  EXPECT_EQ(table.Dead(), std::vector<NodeId>{NodeId(3)});
}

TEST(GossipMemberTable, GivesOutWhatIsDueOnceAndInOrder) {
  MemberTable table(10);
  for (std::uint64_t node = 1; node <= 3; ++node) {
    table.SetStanding(*table.Insert(NodeId(node), Alive(1)).entry, Suspect(1),
                      GossipTick(10 - node));
  }
  table.SetStanding(*table.Find(NodeId(2)), Alive(2), GossipTick());
  EXPECT_EQ(table.TakeExpired(GossipTick(6)), std::nullopt);
  EXPECT_EQ(table.TakeExpired(GossipTick(100)), NodeId(3));
  EXPECT_EQ(table.TakeExpired(GossipTick(100)), NodeId(1));
  EXPECT_EQ(table.TakeExpired(GossipTick(100)), std::nullopt);
}

// ---- LocalHealth
// ---------------------------------------------------------------------------------

TEST(GossipLocalHealth, StaysWithinItsBounds) {
  LocalHealth health(8);
  EXPECT_EQ(health.multiplier(), 1);
  health.OnSilence(2);
  health.OnAccused();
  EXPECT_EQ(health.multiplier(), 4);
  for (int i = 0; i < 10; ++i) health.OnSilence(3);
  EXPECT_EQ(health.multiplier(), 9);
  for (int i = 0; i < 10; ++i) health.OnSuccess();
  EXPECT_EQ(health.multiplier(), 1);
}

}  // namespace
}  // namespace flotilla::gossip
