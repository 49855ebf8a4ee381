// Who answers whom.
#include "tests/shard/gossip/fleet.h"
#include "tests/shard/gossip/script.h"

namespace flotilla::gossip {
namespace {

constexpr std::uint64_t kPeriod = GossipCoreOptions{}.period_ticks;
constexpr std::uint64_t kTimeout = GossipCoreOptions{}.probe_timeout_ticks;

TEST(GossipProbe, AsksHelpersWhenThereIsNoAnswerInTime) {
  Script script;
  script.Meet({2, 3, 4, 5, 6});
  const NodeId target = script.TickToProbe();
  const ProbeNumber number = script.Sent<Ping>()->number;
  script.Forget();
  script.Tick(kTimeout - 1);
  EXPECT_EQ(script.Sent<PingRequest>(), nullptr);
  script.Tick();
  std::set<NodeId> helpers;
  for (const GossipCore::Outgoing& outgoing : script.AllSent<PingRequest>()) {
    const auto& request = std::get<PingRequest>(outgoing.message.body);
    EXPECT_EQ(request.target, target);
    EXPECT_EQ(request.number, number);
    helpers.insert(outgoing.to);
  }
  EXPECT_EQ(helpers.size(), 3u);
  EXPECT_FALSE(helpers.contains(target));
  script.Tick();
  EXPECT_EQ(script.AllSent<PingRequest>().size(), 3u) << "once";

  // One helper's word is enough.
  script.Send(helpers.begin()->value(), Ack{number});
  script.Tick(kPeriod);
  EXPECT_EQ(script.Of(target.value()), Alive(1));
}

TEST(GossipProbe, HelpsOthers) {
  Script script;
  script.Meet({2});
  script.Forget();
  script.Send(2, PingRequest{.number = ProbeNumber(77), .target = NodeId(3)});
  NodeId to;
  const Ping* ping = script.Sent<Ping>(&to);
  ASSERT_NE(ping, nullptr);
  EXPECT_EQ(to, NodeId(3));
  const ProbeNumber own = ping->number;
  EXPECT_NE(own, ProbeNumber(77)) << "numbers of two nodes may be the same";
  script.Forget();
  script.Send(3, Ack{own});
  const Ack* ack = script.Sent<Ack>(&to);
  ASSERT_NE(ack, nullptr);
  EXPECT_EQ(to, NodeId(2));
  EXPECT_EQ(ack->number, ProbeNumber(77));
  script.Forget();
  script.Send(3, Ack{own});
  EXPECT_EQ(script.Sent<Ack>(), nullptr) << "once";
}

TEST(GossipProbe, AHelperSaysSoWhenItHasNoAnswerEither) {
  Script script;
  script.Meet({2});
  script.Send(2, PingRequest{.number = ProbeNumber(77), .target = NodeId(3)});
  const ProbeNumber own = script.Sent<Ping>()->number;
  script.Forget();
  script.Tick(kTimeout);
  NodeId to;
  const Nack* nack = script.Sent<Nack>(&to);
  ASSERT_NE(nack, nullptr);
  EXPECT_EQ(to, NodeId(2));
  EXPECT_EQ(nack->number, ProbeNumber(77));
  script.Forget();
  script.Send(3, Ack{own});
  EXPECT_EQ(script.Sent<Ack>(), nullptr) << "too late";
}

TEST(GossipProbe, HelpIsBounded) {
  GossipCoreOptions options;
  options.relays_max = 5;
  Script script(options);
  script.Meet({2});
  script.Forget();
  for (std::uint64_t i = 0; i < 20; ++i) {
    script.Send(2, PingRequest{.number = ProbeNumber(i), .target = NodeId(3)});
  }
  EXPECT_EQ(script.AllSent<Ping>().size(), 5u);
  EXPECT_EQ(script.AllSent<Nack>().size(), 15u);
}

TEST(GossipProbe, AnAnswerToAnEarlierProbeIsNone) {
  Script script;
  script.Meet({2});
  script.TickToProbe();
  const ProbeNumber first = script.Sent<Ping>()->number;
  script.Send(2, Ack{first});
  script.TickToProbe();
  EXPECT_NE(script.Sent<Ping>()->number, first);
  script.Send(2, Ack{first});
  script.Tick(kPeriod);
  EXPECT_EQ(script.Of(2), Suspect(1));
}

TEST(GossipProbe, AnAnswerToAnEarlierLifeIsNone) {
  std::set<ProbeNumber> numbers;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    GossipCoreOptions options;
    options.seed = seed;
    Script script(options);
    script.Meet({2});
    script.TickToProbe();
    numbers.insert(script.Sent<Ping>()->number);
  }
  EXPECT_EQ(numbers.size(), 100u);
}

TEST(GossipProbe, AnIndirectProbeSavesANodeWhoseDirectLinkIsCut) {
  Fleet fleet(1);
  fleet.StartAll(5);
  bool suspected = false;
  std::uint64_t requests = 0;
  fleet.cut = [](NodeId from, NodeId to) { return from.value() + to.value() == 3; };  // 1 and 2
  fleet.on_change = [&](NodeId, const Change& change) {
    suspected = suspected || change.kind == ChangeKind::kSuspect;
  };
  fleet.on_sent = [&](NodeId, const GossipCore::Outgoing& outgoing) {
    if (std::holds_alternative<PingRequest>(outgoing.message.body)) ++requests;
  };
  fleet.Run(200 * kPeriod);
  EXPECT_FALSE(suspected);
  EXPECT_TRUE(fleet.AllAlive());
  EXPECT_GT(requests, 100u);
}

TEST(GossipProbe, WhoIsLeftAloneByAllDoubtsItself) {
  Script script;
  script.Meet({2, 3, 4, 5});
  script.TickToProbe();
  script.Tick(kPeriod);
  EXPECT_EQ(script.core().health_multiplier(), 1 + 3) << "three helpers kept silent";
  script.Forget();
  // The next probe has begun: its helpers are asked later, and it ends later.
  script.Tick(4 * kTimeout - 1);
  EXPECT_EQ(script.Sent<PingRequest>(), nullptr);
  script.Tick();
  EXPECT_NE(script.Sent<PingRequest>(), nullptr);
  script.Forget();
  script.Tick(4 * (kPeriod - kTimeout) - 1);
  EXPECT_EQ(script.core().health_multiplier(), 1 + 3);
  EXPECT_EQ(script.AllSent<Ping>().size(), 2u) << "what it has to tell does not wait";
  script.Tick();
  EXPECT_EQ(script.core().health_multiplier(), 1 + 6);
  script.Send(2, Ack{std::get<Ping>(script.AllSent<Ping>().back().message.body).number});
  EXPECT_EQ(script.core().health_multiplier(), 1 + 5);
}

TEST(GossipProbe, WhoseHelpersAnswerDoesNotDoubtItself) {
  Script script;
  script.Meet({2, 3, 4, 5});
  const NodeId target = script.TickToProbe();
  const ProbeNumber number = script.Sent<Ping>()->number;
  script.Tick(kTimeout);
  for (const GossipCore::Outgoing& outgoing : script.AllSent<PingRequest>()) {
    script.Send(outgoing.to.value(), Nack{number});
  }
  script.Tick(kPeriod - kTimeout);
  EXPECT_EQ(script.Of(target.value()), Suspect(1));
  EXPECT_EQ(script.core().health_multiplier(), 1);
  script.Hear(2, {Says(1, Suspect(1))});
  EXPECT_EQ(script.core().health_multiplier(), 2) << "but one who is accused does";
}

TEST(GossipProbe, TheDeadAreTriedNowAndThen) {
  Script script;
  script.Meet({2});
  script.TickToProbe();
  script.Tick(20 * kPeriod);
  ASSERT_EQ(script.Of(2), Dead(1));
  script.Forget();
  script.Tick(10 * 5 * kPeriod);
  const std::vector<GossipCore::Outgoing> pings = script.AllSent<Ping>();
  ASSERT_EQ(pings.size(), 10u);
  for (const GossipCore::Outgoing& ping : pings) {
    EXPECT_EQ(std::get<StandingRumour>(ping.message.rumours.at(0)).standing, Dead(1));
  }
  script.Send(2, Ack{std::get<Ping>(pings[0].message.body).number}, {}, Alive(2));
  EXPECT_EQ(script.Of(2), Alive(2));
}

TEST(GossipProbe, ContactsAreTriedUntilTheyAreThere) {
  Script script;
  script.core().SetContacts({NodeId(0), NodeId(1), NodeId(2), NodeId(3)});
  script.Tick(100 * kPeriod);
  std::set<NodeId> tried;
  for (const GossipCore::Outgoing& outgoing : script.sent) tried.insert(outgoing.to);
  EXPECT_EQ(tried, (std::set<NodeId>{NodeId(2), NodeId(3)}));
  script.Meet({2, 3});
  script.Hear(3, {Says(2, Left(1))});
  script.Forget();
  for (int i = 0; i < 100; ++i) {
    script.TickToProbe();
    script.Send(3, Ack{script.Sent<Ping>()->number});
    for (const GossipCore::Outgoing& outgoing : script.sent) EXPECT_NE(outgoing.to, NodeId(2));
  }
}

// However many do not know each other's tries, a node that is down is not flooded.
TEST(GossipProbe, ADeadNodeIsTriedByAFew) {
  Fleet fleet(1);
  fleet.StartAll(100);
  fleet.Crash(NodeId(7));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.EveryoneHolds(NodeId(7), MemberState::kDead); },
                             100 * kPeriod));
  fleet.Run(50 * kPeriod);
  std::uint64_t tries = 0;
  fleet.on_sent = [&](NodeId, const GossipCore::Outgoing& outgoing) {
    if (outgoing.to == NodeId(7)) ++tries;
  };
  fleet.Run(500 * kPeriod);
  // Of 99 nodes, every five periods, three.
  EXPECT_GT(tries, 200u);
  EXPECT_LT(tries, 400u);
}

}  // namespace
}  // namespace flotilla::gossip
