#include "shard/identity.h"

#include <gtest/gtest.h>

#include "shard/founding.h"

namespace flotilla {
namespace {

Identity Founder() {
  Founding founding{.cluster = ClusterId(0xabc), .members = {}};
  founding.members.next_node = NodeId(3);
  founding.members.records = {
      {.node = NodeId(1), .uuid = NodeUuid(11), .address = "h1:7101", .promote = false},
      {.node = NodeId(2), .uuid = NodeUuid(12), .address = "h2:7101", .promote = false}};
  return {
      .uuid = NodeUuid(11), .cluster = ClusterId(0xabc), .node = NodeId(1), .founding = founding};
}

TEST(Identity, ComesBackAsItWasWritten) {
  const Identity founder = Founder();
  const StatusOr<Identity> read = DecodeIdentity(EncodeIdentity(founder));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, founder);

  const Identity fresh{.uuid = NodeUuid(7), .cluster = {}, .node = {}, .founding = std::nullopt};
  const StatusOr<Identity> again = DecodeIdentity(EncodeIdentity(fresh));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, fresh);
  EXPECT_FALSE(again->member());
}

TEST(Identity, EveryDamagedByteIsNoticed) {
  const std::string good = EncodeIdentity(Founder());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x01);
    const StatusOr<Identity> read = DecodeIdentity(bad);
    EXPECT_FALSE(read.ok() && *read != Founder()) << "byte " << i;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeIdentity(std::string_view(good).substr(0, size)).ok()) << size;
  }
}

TEST(Founding, AllFoundersAreVotersAndKnowEachOther) {
  const Identity founder = Founder();
  const raft::Configuration configuration = FoundedGroups(*founder.founding).front().configuration;
  EXPECT_EQ(configuration.voters, (std::set<NodeId>{NodeId(1), NodeId(2)}));
  const StatusOr<Members> members = DecodeMembers(configuration.context);
  ASSERT_TRUE(members.ok());
  EXPECT_EQ(*members, founder.founding->members);
  ASSERT_NE(members->FindAddress("h2:7101"), nullptr);
  EXPECT_EQ(members->FindAddress("h2:7101")->node, NodeId(2));
  EXPECT_EQ(members->FindUuid(NodeUuid(99)), nullptr);
}

}  // namespace
}  // namespace flotilla
