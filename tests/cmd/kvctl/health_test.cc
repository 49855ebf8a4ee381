#include "cmd/kvctl/health.h"

#include <gtest/gtest.h>

namespace flotilla::kvctl {
namespace {

std::string AddressOf(std::uint64_t node) { return "h:" + std::to_string(node); }

NodeAnswer Up(std::uint64_t node, v1::Role role, std::uint64_t term, std::uint64_t applied) {
  v1::StatusResponse status;
  status.mutable_node()->set_node_id(node);
  status.mutable_node()->set_cluster_id(9);
  status.mutable_node()->set_state(v1::NODE_STATE_SERVING);
  v1::GroupStatus& group = *status.add_groups();
  group.set_group_id(2);
  group.set_role(role);
  group.set_term(term);
  group.set_commit_index(applied);
  group.set_applied_index(applied);
  for (std::uint64_t member = 1; member <= 3; ++member) {
    v1::MemberStatus& other = *group.add_members();
    other.set_node_id(member);
    other.set_address(AddressOf(member));
  }
  return {AddressOf(node), status};
}

NodeAnswer Down(const std::string& address) {
  return {address, Error(Reason::kUnreachable, "no connection to " + address + ": refused")};
}

TEST(KvctlHealth, AllUpIsHealthyAndTheLagIsTheLeadersLead) {
  const ClusterView view = ViewOf({Up(1, v1::ROLE_FOLLOWER, 3, 90), Up(2, v1::ROLE_LEADER, 3, 100),
                                   Up(3, v1::ROLE_FOLLOWER, 3, 100)});
  EXPECT_TRUE(view.problems.empty());
  EXPECT_EQ(view.leader_id, 2u);
  EXPECT_EQ(view.cluster_id, 9u);
  ASSERT_EQ(view.lines.size(), 3u);
  EXPECT_EQ(view.lines[0].lag, 10u);
  EXPECT_EQ(view.lines[1].lag, 0u);
}

TEST(KvctlHealth, AMemberThatIsDownIsAProblem) {
  const ClusterView view =
      ViewOf({Up(1, v1::ROLE_LEADER, 3, 90), Up(2, v1::ROLE_FOLLOWER, 3, 90), Down("h:3")});
  ASSERT_EQ(view.problems.size(), 1u);
  EXPECT_NE(view.problems[0].find("h:3"), std::string::npos);
  EXPECT_EQ(view.lines.back().node_id, 3u);
}

TEST(KvctlHealth, AnEndpointThatIsNoMemberMayBeDown) {
  const ClusterView view = ViewOf({Up(1, v1::ROLE_LEADER, 3, 90), Up(2, v1::ROLE_FOLLOWER, 3, 90),
                                   Up(3, v1::ROLE_FOLLOWER, 3, 90), Down("elsewhere:1")});
  EXPECT_TRUE(view.problems.empty());
}

TEST(KvctlHealth, NobodyAnsweringIsAProblemForEachEndpoint) {
  EXPECT_EQ(ViewOf({Down("h:1"), Down("h:2")}).problems.size(), 2u);
}

TEST(KvctlHealth, ADiskThatHangsIsAProblem) {
  NodeAnswer slow = Up(2, v1::ROLE_FOLLOWER, 3, 90);
  slow.status->mutable_node()->set_state(v1::NODE_STATE_SLOW_DISK);
  const ClusterView view =
      ViewOf({Up(1, v1::ROLE_LEADER, 3, 90), slow, Up(3, v1::ROLE_FOLLOWER, 3, 90)});
  ASSERT_EQ(view.problems.size(), 1u);
  EXPECT_NE(view.problems[0].find("n2"), std::string::npos);
  EXPECT_NE(view.problems[0].find("its disk does not answer"), std::string::npos);
}

TEST(KvctlHealth, WhoHasLeftIsNoProblemNorWhomItRemembers) {
  NodeAnswer left = Up(4, v1::ROLE_CANDIDATE, 9, 10);
  left.status->mutable_node()->set_state(v1::NODE_STATE_LEFT);
  left.status->mutable_groups(0)->add_members()->set_address("gone:1");
  const std::vector<NodeAnswer> answers = {Up(1, v1::ROLE_LEADER, 3, 90),
                                           Up(2, v1::ROLE_FOLLOWER, 3, 90),
                                           Up(3, v1::ROLE_FOLLOWER, 3, 90), left, Down("gone:1")};
  EXPECT_EQ(ViewOf(answers).problems, std::vector<std::string>());
  EXPECT_EQ(UnaskedMembers({left}), std::vector<std::string>());
}

TEST(KvctlHealth, NoLeaderIsAProblemAndLeavesTheLagUnknown) {
  const ClusterView view =
      ViewOf({Up(1, v1::ROLE_CANDIDATE, 3, 90), Up(2, v1::ROLE_FOLLOWER, 3, 90),
              Up(3, v1::ROLE_FOLLOWER, 3, 90)});
  ASSERT_EQ(view.problems.size(), 1u);
  EXPECT_NE(view.problems[0].find("no leader"), std::string::npos);
  EXPECT_FALSE(view.lines[0].lag);
}

TEST(KvctlHealth, TheLeaderOfTheHighestTermCounts) {
  EXPECT_EQ(ViewOf({Up(1, v1::ROLE_LEADER, 3, 90), Up(2, v1::ROLE_LEADER, 4, 95),
                    Up(3, v1::ROLE_FOLLOWER, 4, 95)})
                .leader_id,
            2u);
}

TEST(KvctlHealth, MembersThatNobodyNamedAreAskedToo) {
  EXPECT_EQ(UnaskedMembers({Up(1, v1::ROLE_LEADER, 3, 90)}),
            (std::vector<std::string>{"h:2", "h:3"}));
  // By another name, but the same node.
  NodeAnswer two = Up(2, v1::ROLE_FOLLOWER, 3, 90);
  two.address = "localhost:2";
  EXPECT_EQ(UnaskedMembers({Up(1, v1::ROLE_LEADER, 3, 90), two, Down("h:3")}),
            std::vector<std::string>{});
}

TEST(KvctlHealth, ANodeNamedTwiceIsShownOnce) {
  NodeAnswer again = Up(1, v1::ROLE_LEADER, 3, 90);
  again.address = "localhost:1";
  EXPECT_EQ(ViewOf({Up(1, v1::ROLE_LEADER, 3, 90), again}).lines.size(), 1u);
}

}  // namespace
}  // namespace flotilla::kvctl
