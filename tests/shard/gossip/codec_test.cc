#include "shard/gossip/codec.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/random.h"
#include "tests/shard/gossip/script.h"

namespace flotilla::gossip {
namespace {

ProfilePtr SomeProfile() {
  return std::make_shared<const Profile>(Profile{
      .version = FactVersion(3), .address = "n7:7101", .labels = {{"rack", "r1"}, {"zone", "a"}}});
}

LoadPtr SomeLoad() {
  return std::make_shared<const LoadReport>(LoadReport{.version = FactVersion(9),
                                                       .bytes_stored = 1ull << 40,
                                                       .capacity_bytes = UINT64_MAX,
                                                       .replicas = 17,
                                                       .leaders = 5,
                                                       .requests_per_second = 123456});
}

std::vector<Message> OneOfEach() {
  const Page page{.first = NodeId(3),
                  .end = NodeId(9),
                  .members = {{.node = NodeId(3), .standing = Alive(1)},
                              {.node = NodeId(7),
                               .standing = Left(kVersionMax),
                               .profile = SomeProfile(),
                               .load = SomeLoad()},
                              {.node = NodeId(8), .standing = Dead(4), .load = SomeLoad()}}};
  const std::vector<Rumour> rumours = {Says(2, Suspect(300)),
                                       ProfileRumour{.node = NodeId(7), .profile = SomeProfile()},
                                       LoadRumour{.node = NodeId(UINT64_MAX), .load = SomeLoad()}};
  return {{.sender = Alive(5), .body = Ping{ProbeNumber(7)}, .rumours = rumours},
          {.sender = Alive(5),
           .body = PingRequest{.number = ProbeNumber(UINT64_MAX), .target = NodeId(4)},
           .rumours = rumours},
          {.sender = Left(5), .body = Ack{ProbeNumber(7)}, .rumours = rumours},
          {.sender = Alive(kVersionMax), .body = Nack{ProbeNumber(0)}},
          {.sender = Alive(1), .body = SyncRequest{page}},
          {.sender = Alive(1), .body = SyncReply{page}, .rumours = rumours}};
}

void ExpectRefused(std::string_view bytes, std::string_view why) {
  const StatusOr<Message> message = DecodeMessage(bytes);
  ASSERT_FALSE(message.ok()) << why;
  EXPECT_EQ(ReasonOf(message.status()), Reason::kBadRequest) << why;
}

TEST(GossipCodec, SaysInBytesWhatTheHeaderSaysItDoes) {
  const Message ping{
      .sender = Alive(5), .body = Ping{ProbeNumber(7)}, .rumours = {Says(3, Suspect(2))}};
  EXPECT_EQ(EncodeMessage(ping), std::string("\x01\x00\x05\x00\x07\x01\x00\x03\x02\x01", 10));
}

TEST(GossipCodec, WhatWasEncodedIsDecodedToTheSame) {
  for (const Message& message : OneOfEach()) {
    const std::string bytes = EncodeMessage(message);
    const StatusOr<Message> decoded = DecodeMessage(bytes);
    ASSERT_TRUE(decoded.ok()) << message.body.index();
    EXPECT_EQ(decoded->sender, message.sender);
    EXPECT_EQ(decoded->body.index(), message.body.index());
    EXPECT_EQ(decoded->rumours.size(), message.rumours.size());
    EXPECT_EQ(EncodeMessage(*decoded), bytes);
  }
  const StatusOr<Message> reply = DecodeMessage(EncodeMessage(OneOfEach().back()));
  const Page& page = std::get<SyncReply>(reply->body).page;
  EXPECT_EQ(page.first, NodeId(3));
  EXPECT_EQ(page.end, NodeId(9));
  ASSERT_EQ(page.members.size(), 3u);
  EXPECT_TRUE(SameMember(page.members[1], {.node = NodeId(7),
                                           .standing = Left(kVersionMax),
                                           .profile = SomeProfile(),
                                           .load = SomeLoad()}));
  EXPECT_EQ(page.members[2].profile, nullptr);
  EXPECT_EQ(std::get<StandingRumour>(reply->rumours[0]).standing, Suspect(300));
  EXPECT_EQ(*std::get<LoadRumour>(reply->rumours[2]).load, *SomeLoad());
}

TEST(GossipCodec, AnythingMissingOrBehindTheEndIsRefused) {
  for (const Message& message : OneOfEach()) {
    const std::string bytes = EncodeMessage(message);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      ExpectRefused(std::string_view(bytes).substr(0, size), "cut off");
    }
    ExpectRefused(bytes + '\0', "one byte more");
  }
}

TEST(GossipCodec, RefusesWhatNoSenderSays) {
  const auto rumour = [](std::string_view rest) {
    return std::string("\x01\x00\x05\x00\x07", 5) + std::string(rest);
  };
  using namespace std::string_view_literals;
  ASSERT_TRUE(DecodeMessage(rumour("\x01\x00\x03\x02\x01"sv)).ok());
  ExpectRefused(rumour("\x01\x00\x00\x02\x01"sv), "a rumour about node 0");
  ExpectRefused(rumour("\x01\x00\x03\x02\x04"sv), "an unknown state");
  ExpectRefused(rumour("\x01\x03\x03\x02\x01"sv), "an unknown kind of rumour");
  ExpectRefused(rumour("\x7f\x00\x03\x02\x01"sv), "more rumours than there are");
  ExpectRefused("\x02\x00\x05\x00\x07\x00"sv, "another format");
  ExpectRefused("\x01\x06\x05\x00\x07\x00"sv, "an unknown kind of message");
  ExpectRefused("\x01\x00\x05\x02\x07\x00"sv, "neither alive nor left");
  ExpectRefused("\x01\x01\x05\x00\x07\x00\x00"sv, "a request to ping nobody");
  // From 5 to before 4, and to before 5.
  ExpectRefused("\x01\x04\x05\x00\x05\x04\x00\x00"sv, "a page that goes back");
  ExpectRefused("\x01\x04\x05\x00\x05\x05\x00\x00"sv, "a page that gets nowhere");
  ExpectRefused(rumour("\x01\x01\x03\x02\x00\x02\x01z\x00\x01"
                       "a\x00"sv),
                "labels out of order");
  ExpectRefused(rumour("\x01\x01\x03\x02\x00\x02\x01"
                       "a\x00\x01"
                       "a\x00"sv),
                "one label twice");

  Message message = OneOfEach()[0];
  message.sender.incarnation = Incarnation(kVersionMax + 1);
  ExpectRefused(EncodeMessage(message), "an incarnation that cannot be counted on from");
  message = OneOfEach()[0];
  message.rumours = {ProfileRumour{.node = NodeId(1),
                                   .profile = std::make_shared<const Profile>(
                                       Profile{.address = std::string(kProfileBytesMax, 'x')})}};
  ExpectRefused(EncodeMessage(message), "a profile too large");
  message.rumours = std::vector<Rumour>(kMessageBytesMax / 4, Says(1, Alive(1)));
  ExpectRefused(EncodeMessage(message), "a message too large");
}

TEST(GossipCodec, KnowsWhatItWillTake) {
  Message message = OneOfEach()[0];
  const std::size_t all = EncodeMessage(message).size();
  std::size_t rumours = 0;
  for (const Rumour& rumour : message.rumours) rumours += EncodedBytes(rumour);
  message.rumours.clear();
  EXPECT_EQ(EncodeMessage(message).size() + rumours, all);
  // Everything as large as it can be.
  const Message largest{.sender = Left(kVersionMax),
                        .body = SyncRequest{{.first = NodeId(UINT64_MAX - 1),
                                             .end = NodeId(UINT64_MAX),
                                             .members = std::vector<Member>(
                                                 200, {.node = NodeId(1), .standing = Alive(1)})}}};
  EXPECT_LE(
      EncodeMessage(largest).size() + EncodedBytes(Says(UINT64_MAX, Dead(kVersionMax))),
      kEnvelopeBytesMax + 200 * EncodedBytes(Member{.node = NodeId(1), .standing = Alive(1)}));
}

TEST(GossipCodec, AnyByteChangedIsRefusedOrSaysSomethingElse) {
  Random random(1);
  for (const Message& message : OneOfEach()) {
    const std::string bytes = EncodeMessage(message);
    for (int i = 0; i < 2000; ++i) {
      std::string changed = bytes;
      changed[random.Below(changed.size())] ^= static_cast<char>(1 << random.Below(8));
      const StatusOr<Message> decoded = DecodeMessage(changed);
      if (!decoded.ok()) continue;
      const StatusOr<Message> again = DecodeMessage(EncodeMessage(*decoded));
      ASSERT_TRUE(again.ok());
      EXPECT_EQ(EncodeMessage(*again), EncodeMessage(*decoded));
      EXPECT_NE(EncodeMessage(*decoded), bytes);
    }
  }
}

}  // namespace
}  // namespace flotilla::gossip
