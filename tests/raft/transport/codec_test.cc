// What nodes say to each other: every kind comes back as it was, and no byte is trusted.
#include "raft/transport/codec.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace flotilla::raft {
namespace {

constexpr NodeId kFrom{3};
constexpr NodeId kTo{5};

PeerMessage Group(MessageBody body) {
  return {.from = kFrom,
          .to = kTo,
          .payload = GroupMessage{
              .group = GroupId(2),
              .message = {.from = kFrom, .to = kTo, .term = Term(9), .body = std::move(body)}}};
}

Configuration Joint() {
  Configuration configuration;
  configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
  configuration.outgoing = {NodeId(1), NodeId(4)};
  configuration.learners = {NodeId(5)};
  configuration.learners_next = {NodeId(4)};
  configuration.context = std::string("add\0resses", 10);
  return configuration;
}

AppendRequest Append() {
  const auto entry = [](std::uint64_t term, std::uint64_t index, EntryKind kind,
                        std::string payload) {
    return Entry{.term = Term(term),
                 .index = Index(index),
                 .kind = kind,
                 .payload = Bytes(std::move(payload))};
  };
  return {.previous_index = Index(10),
          .previous_term = Term(7),
          .commit = Index(8),
          .entries = {entry(7, 11, EntryKind::kCommand, std::string("\0\xff", 2)),
                      entry(8, 12, EntryKind::kNoop, ""),
                      entry(8, 13, EntryKind::kConfiguration, EncodeConfiguration(Joint())),
                      entry(8, 14, EntryKind::kControl, "split")}};
}

std::vector<PeerMessage> EveryKind() {
  std::vector<PeerMessage> all;
  all.push_back(Group(VoteRequest{
      .last_index = Index(1), .last_term = Term(2), .pre_vote = true, .transfer = false}));
  all.push_back(Group(VoteRequest{
      .last_index = Index(3), .last_term = Term(4), .pre_vote = false, .transfer = true}));
  all.push_back(Group(VoteReply{.pre_vote = true, .granted = false}));
  all.push_back(Group(VoteReply{.pre_vote = false, .granted = true}));
  all.push_back(Group(Append()));
  all.push_back(Group(AppendRequest{}));
  all.push_back(Group(AppendReply{.accepted = true,
                                  .match = Index(1),
                                  .rejected = Index(2),
                                  .hint_index = Index(3),
                                  .hint_term = Term(4)}));
  all.push_back(Group(Heartbeat{.commit = Index(5), .read_round = 6, .quiesce = true}));
  all.push_back(Group(HeartbeatReply{.read_round = UINT64_MAX}));
  all.push_back(Group(
      SnapshotRequest{.mark = {.index = Index(7), .term = Term(8), .configuration = Joint()}}));
  all.push_back(Group(TimeoutNow{}));
  all.push_back(Group(ReadIndexRequest{.context = 9}));
  all.push_back(Group(ReadIndexReply{.context = 9, .index = Index(10)}));
  all.push_back(Group(ReadIndexReply{.context = 9, .index = std::nullopt}));
  for (const bool answer : {false, true}) {
    all.push_back({.from = kFrom,
                   .to = kTo,
                   .payload = Call{.id = 77,
                                   .answer = answer,
                                   .method = 3,
                                   .bulk = false,
                                   .body = Bytes(std::string("bo\0dy", 5))}});
  }
  return all;
}

// Field by field, in words; std::variant's own index names the kind.
struct Describe {
  std::string operator()(const VoteRequest& m) const {
    return Join(m.last_index.value(), m.last_term.value(), m.pre_vote, m.transfer);
  }
  std::string operator()(const VoteReply& m) const { return Join(m.pre_vote, m.granted); }
  std::string operator()(const AppendRequest& m) const {
    std::string out = Join(m.previous_index.value(), m.previous_term.value(), m.commit.value());
    for (const Entry& entry : m.entries) {
      out += "\n  " + Join(entry.term.value(), entry.index.value(), static_cast<int>(entry.kind)) +
             std::string(entry.payload.view());
    }
    return out;
  }
  std::string operator()(const AppendReply& m) const {
    return Join(m.accepted, m.match.value(), m.rejected.value(), m.hint_index.value(),
                m.hint_term.value());
  }
  std::string operator()(const Heartbeat& m) const {
    return Join(m.commit.value(), m.read_round, m.quiesce);
  }
  std::string operator()(const HeartbeatReply& m) const { return Join(m.read_round); }
  std::string operator()(const SnapshotRequest& m) const {
    return Join(m.mark.index.value(), m.mark.term.value()) +
           EncodeConfiguration(m.mark.configuration);
  }
  std::string operator()(const TimeoutNow&) const { return ""; }
  std::string operator()(const ReadIndexRequest& m) const { return Join(m.context); }
  std::string operator()(const ReadIndexReply& m) const {
    return Join(m.context, m.index.has_value(), m.index.value_or(Index()).value());
  }
  std::string operator()(const Call& m) const {
    return Join(m.id, m.answer, m.method) + std::string(m.body.view());
  }
  std::string operator()(const GroupMessage& m) const {
    const Message& message = m.message;
    return Join(m.group.value(), message.from.value(), message.to.value(), message.term.value(),
                message.body.index()) +
           std::visit(*this, message.body);
  }

  template <class... Values>
  static std::string Join(Values... values) {
    return ((std::to_string(values) + " ") + ... + "");
  }
};

std::string Text(const PeerMessage& message) {
  return Describe::Join(message.from.value(), message.to.value()) +
         std::visit(Describe{}, message.payload);
}

TEST(PeerCodec, EveryKindComesBackAsItWas) {
  for (const PeerMessage& message : EveryKind()) {
    const auto got = DecodeMessages(EncodeMessages({message}), kFrom, kTo);
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(got->size(), 1u);
    EXPECT_EQ(Text(got->front()), Text(message));
  }
}

TEST(PeerCodec, EveryKindIsInTheTest) {
  std::set<std::size_t> kinds;
  for (const PeerMessage& message : EveryKind()) {
    if (const auto* group = std::get_if<GroupMessage>(&message.payload)) {
      kinds.insert(group->message.body.index());
    }
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<MessageBody>);
}

TEST(PeerCodec, ABatchKeepsTheOrderOfMessagesAndThatOfCalls) {
  const std::vector<PeerMessage> all = EveryKind();
  const auto got = DecodeMessages(EncodeMessages(all), kFrom, kTo);
  ASSERT_TRUE(got.ok());
  ASSERT_EQ(got->size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(Text((*got)[i]), Text(all[i])) << i;
}

TEST(PeerCodec, AnEmptyBatchIsNoMessage) {
  const auto got = DecodeMessages("", kFrom, kTo);
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(got->empty());
}

TEST(PeerCodec, PayloadsOutliveTheBytesThatTheyCameFrom) {
  std::vector<PeerMessage> messages;
  {
    std::string bytes = EncodeMessages({Group(Append())});
    messages = *DecodeMessages(bytes, kFrom, kTo);
    std::fill(bytes.begin(), bytes.end(), 'x');
  }
  const PeerMessage copy = messages.front();
  messages.clear();
  EXPECT_EQ(Text(copy), Text(Group(Append())));
}

// Whatever it is, it is decoded or refused; what was decoded can be encoded and read again.
void Feed(const std::string& bytes) {
  const auto got = DecodeMessages(bytes, kFrom, kTo);
  if (!got.ok()) {
    EXPECT_EQ(ReasonOf(got.status()), Reason::kBadRequest);
    return;
  }
  const auto again = DecodeMessages(EncodeMessages(*got), kFrom, kTo);
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(again->size(), got->size());
  for (std::size_t i = 0; i < got->size(); ++i) EXPECT_EQ(Text((*again)[i]), Text((*got)[i]));
}

TEST(PeerCodec, EveryPrefixOfEveryKindIsHandled) {
  for (const PeerMessage& message : EveryKind()) {
    const std::string good = EncodeMessages({message});
    for (std::size_t size = 0; size < good.size(); ++size) Feed(good.substr(0, size));
  }
  const std::string whole = EncodeMessages(EveryKind());
  for (std::size_t size = 0; size < whole.size(); ++size) Feed(whole.substr(0, size));
}

TEST(PeerCodec, EveryChangedByteOfEveryKindIsHandled) {
  for (const PeerMessage& message : EveryKind()) {
    const std::string good = EncodeMessages({message});
    for (std::size_t i = 0; i < good.size(); ++i) {
      for (int change = 1; change < 256; ++change) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ change);
        Feed(bad);
      }
    }
  }
}

TEST(PeerCodec, ManyChangedBytesAreHandled) {
  const std::string good = EncodeMessages(EveryKind());
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = good;
    for (std::uint64_t left = random.Between(1, 8); left > 0; --left) {
      bad[random.Between(0, bad.size() - 1)] = static_cast<char>(random.Between(0, 255));
    }
    Feed(bad);
  }
}

Reason Decode(const internal::PeerBatch& batch) {
  return ReasonOf(DecodeBatch(std::make_shared<internal::PeerBatch>(batch), kFrom, kTo).status());
}

TEST(PeerCodec, AMessageOfNoKnownKindIsRefused) {
  internal::PeerBatch batch;
  batch.add_messages()->set_group_id(2);
  EXPECT_EQ(Decode(batch), Reason::kBadRequest);
}

TEST(PeerCodec, EntriesOfUnknownKindAreRefused) {
  internal::PeerBatch batch;
  auto& entry = *batch.add_messages()->mutable_append_request()->add_entries();
  entry.set_kind(2);
  entry.set_payload(EncodeConfiguration(Joint()));
  EXPECT_EQ(Decode(batch), Reason::kNone);
  entry.set_kind(3);
  EXPECT_EQ(Decode(batch), Reason::kNone);
  entry.set_kind(4);
  EXPECT_EQ(Decode(batch), Reason::kBadRequest);
  entry.set_kind(UINT32_MAX);
  EXPECT_EQ(Decode(batch), Reason::kBadRequest);
}

// The log's terms never go back (the Log Matching Property rests on it).
TEST(PeerCodec, EntriesWhoseTermsGoBackAreRefused) {
  internal::PeerBatch batch;
  auto& append = *batch.add_messages()->mutable_append_request();
  append.set_previous_term(5);
  append.add_entries()->set_term(5);
  append.add_entries()->set_term(6);
  EXPECT_EQ(Decode(batch), Reason::kNone);
  append.mutable_entries(1)->set_term(4);
  EXPECT_EQ(Decode(batch), Reason::kBadRequest);
  append.mutable_entries(1)->set_term(6);
  append.mutable_entries(0)->set_term(4);
  EXPECT_EQ(Decode(batch), Reason::kBadRequest);
}

TEST(PeerCodec, WhatIsNoConfigurationIsRefused) {
  internal::PeerBatch batch;
  auto& entry = *batch.add_messages()->mutable_append_request()->add_entries();
  entry.set_kind(static_cast<std::uint32_t>(EntryKind::kConfiguration));
  entry.set_payload("\x01\xff");
  EXPECT_EQ(Decode(batch), Reason::kBadRequest);

  internal::PeerBatch snapshot;
  snapshot.add_messages()->mutable_snapshot_request()->set_configuration("\x01\xff");
  EXPECT_EQ(Decode(snapshot), Reason::kBadRequest);
}

// The queues count by it: far below would let them grow beyond their bounds.
TEST(PeerCodec, WireBytesIsNotFarBelowWhatIsSent) {
  for (const PeerMessage& message : EveryKind()) {
    EXPECT_GE(WireBytes(message) + 64, EncodeMessages({message}).size());
  }
  AppendRequest append;
  append.entries.resize(1000, {.term = Term(1 << 30),
                               .index = Index(1),
                               .kind = EntryKind::kCommand,
                               .payload = Bytes(std::string(300, 'x'))});
  EXPECT_GE(WireBytes(Group(append)), EncodeMessages({Group(append)}).size());
}

}  // namespace
}  // namespace flotilla::raft
