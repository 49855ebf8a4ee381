#include "client/routes.h"

#include <gtest/gtest.h>

#include <set>

namespace flotilla::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const MonoTime kStart{seconds(100)};

Status Refused(const std::string& address) {
  return Error(Reason::kUnreachable, "no connection to " + address + ": Connection refused");
}

TEST(ClientRoutes, StaysWithAnEndpointThatWorks) {
  Routes routes({"a:1", "b:1", "c:1"}, Random(1));
  const auto first = routes.ForLeader(kStart);
  ASSERT_TRUE(first);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(routes.ForLeader(kStart), first);
}

TEST(ClientRoutes, GoesRoundTheEndpointsAsTheyFailAndComesBackAfterARest) {
  Routes routes({"a:1", "b:1", "c:1"}, Random(1));
  std::set<std::string> tried;
  for (int i = 0; i < 3; ++i) {
    const auto address = routes.ForLeader(kStart);
    ASSERT_TRUE(address);
    tried.insert(*address);
    routes.Failed(*address, Refused(*address), kStart);
  }
  EXPECT_EQ(tried.size(), 3u);
  EXPECT_FALSE(routes.ForLeader(kStart));
  EXPECT_FALSE(routes.ForReplica(kStart));
  EXPECT_EQ(ReasonOf(routes.Unreachable()), Reason::kUnreachable);
  EXPECT_NE(MessageOf(routes.Unreachable()).find("b:1: Connection refused"), std::string::npos);
  const MonoTime next = routes.NextTry();
  EXPECT_GT(next, kStart);
  EXPECT_LE(next, kStart + milliseconds(50));
  EXPECT_TRUE(routes.ForLeader(next));
}

TEST(ClientRoutes, FollowsALeaderHintAndFallsBackWhenItFails) {
  Routes routes({"a:1", "b:1"}, Random(1));
  routes.LeaderIs("elsewhere:9");
  EXPECT_EQ(routes.ForLeader(kStart), "elsewhere:9");
  routes.Failed("elsewhere:9", Refused("elsewhere:9"), kStart);
  const auto fallback = routes.ForLeader(kStart);
  EXPECT_TRUE(fallback == "a:1" || fallback == "b:1");
}

TEST(ClientRoutes, NoHintMovesOnToAnotherNode) {
  Routes routes({"a:1", "b:1"}, Random(1));
  const auto first = routes.ForLeader(kStart);
  routes.LeaderIs("");
  EXPECT_NE(routes.ForLeader(kStart), first);
}

TEST(ClientRoutes, FindsTheLeaderByTheNodeThatAnswers) {
  Routes routes({"a:1"}, Random(1));
  EXPECT_TRUE(routes.Answered(NodeId(3), "a:1"));  // who is 3?
  routes.SetMembers({{NodeId(1), "a:1"}, {NodeId(2), "b:1"}, {NodeId(3), "c:1"}});
  EXPECT_EQ(routes.ForLeader(kStart), "c:1");
  EXPECT_FALSE(routes.Answered(NodeId(3), "c:1"));
  EXPECT_FALSE(routes.Answered(NodeId(2), "c:1"));  // known by now
  EXPECT_EQ(routes.ForLeader(kStart), "b:1");
}

TEST(ClientRoutes, SpreadsReplicaReadsOverTheMembers) {
  Routes routes({"a:1"}, Random(1));
  routes.SetMembers({{NodeId(1), "a:1"}, {NodeId(2), "b:1"}, {NodeId(3), "c:1"}});
  std::set<std::string> asked;
  for (int i = 0; i < 200; ++i) asked.insert(*routes.ForReplica(kStart));
  EXPECT_EQ(asked.size(), 3u);
}

TEST(ClientRoutes, ForgetsMembersThatLeftButNeverEndpoints) {
  Routes routes({"a:1"}, Random(1));
  routes.SetMembers({{NodeId(2), "b:1"}, {NodeId(3), "c:1"}});
  routes.SetMembers({{NodeId(3), "c:1"}});
  std::set<std::string> asked;
  for (int i = 0; i < 200; ++i) asked.insert(*routes.ForReplica(kStart));
  EXPECT_EQ(asked, (std::set<std::string>{"a:1", "c:1"}));
}

TEST(ClientRoutes, EachGroupHasALeaderOfItsOwn) {
  Routes routes({"a:1"}, Random(1));
  routes.SetMembers({{NodeId(1), "a:1"}, {NodeId(2), "b:1"}, {NodeId(3), "c:1"}});
  EXPECT_FALSE(routes.Leads(GroupId(7), NodeId(2)));
  EXPECT_FALSE(routes.Leads(GroupId(8), NodeId(3)));
  EXPECT_EQ(routes.ForGroup(GroupId(7), kStart), "b:1");
  EXPECT_EQ(routes.ForGroup(GroupId(8), kStart), "c:1");
  EXPECT_TRUE(routes.ForGroup(GroupId(9), kStart).has_value()) << "anybody can be asked";
  EXPECT_TRUE(routes.Leads(GroupId(9), NodeId(4))) << "whose address is not known";
  routes.ForgetLeader(GroupId(7));
  EXPECT_NE(routes.ForGroup(GroupId(7), kStart), "b:1");
}

TEST(ClientRoutes, ALeaderThatRestsIsNotAsked) {
  Routes routes({"a:1"}, Random(1));
  routes.SetMembers({{NodeId(1), "a:1"}, {NodeId(2), "b:1"}});
  routes.Leads(GroupId(7), NodeId(2));
  routes.Failed("b:1", Error(Reason::kUnreachable, "b:1 is gone"), kStart);
  EXPECT_EQ(routes.ForGroup(GroupId(7), kStart), "a:1");
  routes.Worked("b:1");
  EXPECT_EQ(routes.ForGroup(GroupId(7), kStart), "b:1");
}

TEST(ClientRoutes, TheVersionRisesWhenAnotherAddressMayBeRight) {
  Routes routes({"a:1"}, Random(1));
  std::uint64_t seen = routes.version();
  const auto rose = [&] { return std::exchange(seen, routes.version()) < routes.version(); };
  routes.SetMembers({{NodeId(1), "a:1"}, {NodeId(2), "b:1"}});
  EXPECT_TRUE(rose());
  routes.Leads(GroupId(7), NodeId(2));
  EXPECT_TRUE(rose());
  routes.Leads(GroupId(7), NodeId(2));
  EXPECT_FALSE(rose());
  routes.Worked("b:1");
  EXPECT_FALSE(rose());
  routes.Answered(NodeId(2), "b:1");
  EXPECT_TRUE(rose());
  routes.Answered(NodeId(2), "b:1");
  EXPECT_FALSE(rose());
  routes.Failed("b:1", Error(Reason::kUnreachable, "gone"), kStart);
  EXPECT_TRUE(rose());
}

}  // namespace
}  // namespace flotilla::client
