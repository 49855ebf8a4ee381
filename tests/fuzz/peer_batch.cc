// What peers send on their streams.

#include "raft/transport/codec.h"
#include "tests/fuzz/fuzz.h"

namespace flotilla::fuzz {
namespace {

using namespace raft;

PeerMessage Of(MessageBody body) {
  return {.from = NodeId(1),
          .to = NodeId(2),
          .payload = GroupMessage{
              .group = GroupId(2),
              .message = {
                  .from = NodeId(1), .to = NodeId(2), .term = Term(4), .body = std::move(body)}}};
}

Configuration Joint() {
  Configuration configuration;
  configuration.voters = {NodeId(1), NodeId(2), NodeId(4)};
  configuration.outgoing = {NodeId(1), NodeId(2), NodeId(3)};
  configuration.learners = {NodeId(5)};
  configuration.context = "addresses";
  return configuration;
}

}  // namespace

void Fuzz(std::string_view input) {
  ExpectStable(
      input, [](std::string_view bytes) { return DecodeMessages(bytes, NodeId(1), NodeId(2)); },
      [](const std::vector<PeerMessage>& messages) {
        for (const PeerMessage& message : messages) CHECK_GT(WireBytes(message), 0u);
        return EncodeMessages(messages);
      });
}

std::vector<std::string> Seeds() {
  AppendRequest append;
  append.previous_index = Index(6);
  append.previous_term = Term(3);
  append.commit = Index(6);
  append.entries = {
      {.term = Term(3), .index = Index(7), .kind = EntryKind::kCommand, .payload = Bytes("put")},
      {.term = Term(4),
       .index = Index(8),
       .kind = EntryKind::kConfiguration,
       .payload = Bytes(EncodeConfiguration(Joint()))},
      {.term = Term(4), .index = Index(9), .kind = EntryKind::kControl, .payload = Bytes("split")}};
  SnapshotRequest snapshot;
  snapshot.mark = {.index = Index(9), .term = Term(4), .configuration = Joint()};
  std::vector<PeerMessage> all = {
      Of(VoteRequest{.last_index = Index(5), .last_term = Term(3), .pre_vote = true}),
      Of(VoteReply{.pre_vote = true, .granted = true}),
      Of(append),
      Of(AppendReply{.accepted = false,
                     .match = Index(),
                     .rejected = Index(6),
                     .hint_index = Index(2),
                     .hint_term = Term(1)}),
      Of(Heartbeat{.commit = Index(6), .read_round = 12, .quiesce = true}),
      Of(HeartbeatReply{.read_round = 12}),
      Of(snapshot),
      Of(TimeoutNow{}),
      Of(ReadIndexRequest{.context = 77}),
      Of(ReadIndexReply{.context = 77, .index = Index(8)}),
      {.from = NodeId(1),
       .to = NodeId(2),
       .payload = Call{.id = 3, .answer = false, .method = 5, .body = Bytes("body")}}};
  std::vector<std::string> seeds = {EncodeMessages(all)};
  for (const PeerMessage& message : all) seeds.push_back(EncodeMessages({message}));
  return seeds;
}

}  // namespace flotilla::fuzz
