// What nodes say of themselves, and how views are compared.
#include "shard/gossip/codec.h"
#include "tests/shard/gossip/fleet.h"
#include "tests/shard/gossip/script.h"

namespace flotilla::gossip {
namespace {

constexpr std::uint64_t kPeriod = GossipCoreOptions{}.period_ticks;

Rumour ProfileOf(std::uint64_t node, std::uint64_t version, std::string address) {
  return ProfileRumour{.node = NodeId(node),
                       .profile = std::make_shared<const Profile>(
                           Profile{.version = FactVersion(version), .address = address})};
}
Rumour LoadOf(std::uint64_t node, std::uint64_t version, std::uint64_t leaders) {
  return LoadRumour{.node = NodeId(node),
                    .load = std::make_shared<const LoadReport>(
                        LoadReport{.version = FactVersion(version), .leaders = leaders})};
}

TEST(GossipFacts, TheNewerWins) {
  Script script;
  script.Meet({2});
  script.Hear(2, {ProfileOf(2, 5, "new"), LoadOf(2, 5, 50)});
  EXPECT_TRUE(script.Changed(2, ChangeKind::kProfile));
  EXPECT_TRUE(script.Changed(2, ChangeKind::kLoad));
  script.Forget();
  script.Hear(2, {ProfileOf(2, 4, "old"), LoadOf(2, 4, 40)});
  EXPECT_TRUE(script.changes.empty());
  EXPECT_EQ(script.Record(2).profile->address, "new");
  EXPECT_EQ(script.Record(2).load->leaders, 50u);
  script.Hear(2, {LoadOf(2, 6, 60)});
  EXPECT_EQ(script.Record(2).load->leaders, 60u);
  EXPECT_EQ(script.Record(2).profile->address, "new") << "each by its own version";
}

// Two lives of a node may give one version to two things; nobody can tell which is newer, but all
// must agree.
TEST(GossipFacts, OneVersionOfTwoThingsMeansOneOfThemToAll) {
  for (const bool first : {true, false}) {
    Script script;
    script.Meet({2});
    script.Hear(2, {ProfileOf(2, 5, first ? "a" : "b"), LoadOf(2, 5, first ? 1 : 2)});
    script.Hear(2, {ProfileOf(2, 5, first ? "b" : "a"), LoadOf(2, 5, first ? 2 : 1)});
    EXPECT_EQ(script.Record(2).profile->address, "b");
    EXPECT_EQ(script.Record(2).load->leaders, 2u);
  }
}

TEST(GossipFacts, OfAStrangerSayNothing) {
  Script script;
  script.Meet({2});
  script.Hear(2, {ProfileOf(3, 5, "n3"), LoadOf(3, 5, 50)});
  EXPECT_EQ(script.Of(3), std::nullopt);
}

TEST(GossipFacts, AnEarlierLifesAreOutlived) {
  Script script;
  script.Hear(2, {ProfileOf(1, 90, "old"), LoadOf(1, 90, 9)});
  script.core().SetProfile({.address = "new", .labels = {{"zone", "a"}}});
  script.core().SetLoad({.leaders = 1});
  script.Tick();
  EXPECT_EQ(script.Record(1).profile->version, FactVersion(1));
  script.Hear(2, {ProfileOf(1, 90, "old"), LoadOf(1, 90, 9)});
  EXPECT_EQ(script.Record(1).profile->version, FactVersion(91));
  EXPECT_EQ(script.Record(1).profile->address, "new");
  EXPECT_EQ(script.Record(1).load->version, FactVersion(91));
  EXPECT_EQ(script.Record(1).load->leaders, 1u);
  // The same number may have been used for something else.
  script.Hear(2, {ProfileOf(1, 91, "old")});
  EXPECT_EQ(script.Record(1).profile->version, FactVersion(92));
  script.Hear(2, {ProfileRumour{.node = NodeId(1), .profile = script.Record(1).profile}});
  EXPECT_EQ(script.Record(1).profile->version, FactVersion(92)) << "its own word is no news";
}

TEST(GossipFacts, LoadsArePublishedAtAPaceAndOnlyNews) {
  Script script;
  script.Meet({2});
  std::uint64_t published = 0;
  for (std::uint64_t tick = 0; tick < 100 * kPeriod; ++tick) {
    script.Forget();
    script.core().SetLoad({.leaders = tick});
    script.Tick();
    if (script.Changed(1, ChangeKind::kLoad)) ++published;
  }
  EXPECT_EQ(published, 100u / 5);
  const FactVersion version = script.Record(1).load->version;
  const LoadReport same = *script.Record(1).load;
  for (std::uint64_t tick = 0; tick < 100 * kPeriod; ++tick) {
    script.core().SetLoad(same);
    script.Tick();
  }
  EXPECT_EQ(script.Record(1).load->version, version);
}

TEST(GossipFacts, ManyNodesPublishTheirLoadsMoreSeldom) {
  GossipCoreOptions options;
  options.load_reports_per_period_max = 4;
  Script script(options);
  for (std::uint64_t node = 2; node <= 80; ++node) script.Hear(2, {Says(node, Alive(1))});
  std::uint64_t published = 0;
  for (std::uint64_t tick = 0; tick < 100 * kPeriod; ++tick) {
    script.Forget();
    script.core().SetLoad({.leaders = tick});
    // Nobody dies meanwhile.
    for (std::uint64_t node = 2; node <= 80; ++node) script.Send(node, Nack{}, {}, Alive(tick + 2));
    script.Tick();
    if (script.Changed(1, ChangeKind::kLoad)) ++published;
  }
  EXPECT_EQ(published, 100u / (80 / 4));
}

TEST(GossipFacts, TravelToEveryone) {
  Fleet fleet(3);
  fleet.StartAll(20);
  fleet.at(5).SetProfile({.address = "n5:1", .labels = {{"zone", "b"}}});
  fleet.at(6).SetLoad({.bytes_stored = 6});
  EXPECT_TRUE(fleet.RunUntil(
      [&] {
        for (std::uint64_t viewer = 1; viewer <= 20; ++viewer) {
          const MemberTable& view = fleet.at(viewer).members();
          const ProfilePtr profile = view.Find(NodeId(5))->profile;
          const LoadPtr load = view.Find(NodeId(6))->load;
          if (profile == nullptr || profile->labels.at("zone") != "b") return false;
          if (load == nullptr || load->bytes_stored != 6) return false;
        }
        return true;
      },
      20 * kPeriod));
}

// ---- pages -----------------------------------------------------------------------------------

Page Of(const GossipCore::Outgoing& outgoing) {
  if (const auto* request = std::get_if<SyncRequest>(&outgoing.message.body)) return request->page;
  return std::get<SyncReply>(outgoing.message.body).page;
}

TEST(GossipSync, AnswersWithWhatItKnowsFromThere) {
  Script script;
  script.Meet({2, 5, 7, 9});
  script.Forget();
  script.Send(2, SyncRequest{Page{.first = NodeId(3), .end = NodeId(9)}});
  const Page page = Of(script.sent.at(0));
  EXPECT_EQ(page.first, NodeId(3));
  EXPECT_EQ(page.end, NodeId(9));
  ASSERT_EQ(page.members.size(), 2u);
  EXPECT_EQ(page.members[0].node, NodeId(5));
  EXPECT_EQ(page.members[1].node, NodeId(7));
}

// A newcomer that knows one node.
TEST(GossipSync, ANewcomerWalksThroughTheWholeViewOfOne) {
  Script script;
  script.core().SetContacts({NodeId(2)});
  script.Tick(2 * kPeriod);
  NodeId to;
  const SyncRequest* request = script.Sent<SyncRequest>(&to);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(to, NodeId(2));
  EXPECT_FALSE(script.core().joined());
  const auto page = [](std::uint64_t first, std::uint64_t end) {
    Page some{.first = NodeId(first), .end = NodeId(end)};
    for (std::uint64_t node = first + 1; node <= first + 9; ++node) {
      some.members.push_back({.node = NodeId(node), .standing = Alive(1)});
    }
    return some;
  };
  script.Forget();
  script.Send(2, SyncReply{page(0, 10)});
  ASSERT_NE(script.Sent<SyncRequest>(), nullptr) << "at once";
  EXPECT_EQ(script.Sent<SyncRequest>()->page.first, NodeId(10));
  script.Forget();
  script.Send(2, SyncReply{page(0, 10)});
  EXPECT_EQ(script.Sent<SyncRequest>(), nullptr) << "an answer that comes twice is none";
  script.Send(2, SyncReply{page(10, 0)});
  EXPECT_TRUE(script.core().joined());
  EXPECT_EQ(script.Of(19), Alive(1));
  script.Forget();
  script.Tick(5 * kPeriod);
  std::set<NodeId> told;
  for (const GossipCore::Outgoing& outgoing : script.sent) {
    for (const Rumour& rumour : outgoing.message.rumours) {
      if (std::get<StandingRumour>(rumour).standing == Alive(1)) {
        told.insert(std::get<StandingRumour>(rumour).node);
      }
    }
  }
  EXPECT_LE(told.size(), 2u) << "it does not tell everyone what everyone knows";
}

TEST(GossipSync, PagesAndMessagesAreBounded) {
  GossipCoreOptions options;
  options.message_bytes_max = 2500;
  Fleet fleet(1, options);
  // Nothing is known to anyone but node 1, and profiles are as large as they may be.
  for (std::uint64_t node = 1; node <= 60; ++node) {
    fleet.Start(NodeId(node));
    fleet.at(node).SetProfile(
        {.address = std::string(700, 'a'), .labels = {{"label", std::string(250, 'b')}}});
    fleet.at(node).SetLoad({.bytes_stored = UINT64_MAX, .capacity_bytes = UINT64_MAX});
    fleet.at(node).SetContacts({NodeId(1)});
  }
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.AllAlive(); }, 100 * kPeriod))
      << fleet.Disagreements();
  const auto complete = [&] {
    for (const auto& [node, core] : fleet.cores()) {
      for (const MemberTable::Entry& entry : core->members().entries()) {
        if (entry.profile == nullptr || entry.load == nullptr) return false;
      }
    }
    return true;
  };
  EXPECT_TRUE(fleet.RunUntil(complete, 1000 * kPeriod));
  EXPECT_LE(fleet.largest_message(), 2500u);
  EXPECT_GT(fleet.largest_message(), 2000u);
}

TEST(GossipSync, MendsWhatNobodyTalksAboutAnyMore) {
  Fleet fleet(1);
  fleet.StartAll(10);
  // 3 hears nothing of a change until it is told no more.
  fleet.cut = [](NodeId, NodeId to) { return to == NodeId(3); };
  fleet.at(5).SetProfile({.address = "n5:1"});
  ASSERT_TRUE(fleet.RunUntil(
      [&] {
        for (const auto& [node, core] : fleet.cores()) {
          if (node != NodeId(3) && core->waiting_rumours() > 0) return false;
        }
        return fleet.at(9).members().Find(NodeId(5))->profile != nullptr;
      },
      1000 * kPeriod));
  fleet.cut = nullptr;
  EXPECT_TRUE(fleet.RunUntil(
      [&] { return fleet.at(3).members().Find(NodeId(5))->profile != nullptr; }, 200 * kPeriod));
}

TEST(GossipSync, IslandsFindEachOtherByTheirContacts) {
  Fleet fleet(1);
  fleet.cut = [](NodeId from, NodeId to) { return (from.value() <= 3) != (to.value() <= 3); };
  for (std::uint64_t node = 1; node <= 6; ++node) fleet.Start(NodeId(node));
  fleet.Run(50 * kPeriod);
  EXPECT_EQ(fleet.StateAt(1, 2), MemberState::kAlive);
  EXPECT_EQ(fleet.StateAt(6, 1), std::nullopt);
  fleet.cut = nullptr;
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.AllAlive(); }, 50 * kPeriod))
      << fleet.Disagreements();
}

}  // namespace
}  // namespace flotilla::gossip
