#include "raft/transport/codec.h"

#include <utility>

namespace flotilla::raft {
namespace {

Status Malformed(std::string_view what) {
  return Error(Reason::kBadRequest, std::string("a peer sent a malformed ") + std::string(what));
}

void SetBytes(std::string* field, std::string_view bytes) {
  field->assign(bytes.data(), bytes.size());
}

struct BodyEncoder {
  internal::GroupMessage& out;

  void operator()(const VoteRequest& body) const {
    auto& to = *out.mutable_vote_request();
    to.set_last_index(body.last_index.value());
    to.set_last_term(body.last_term.value());
    to.set_pre_vote(body.pre_vote);
    to.set_transfer(body.transfer);
  }
  void operator()(const VoteReply& body) const {
    auto& to = *out.mutable_vote_reply();
    to.set_pre_vote(body.pre_vote);
    to.set_granted(body.granted);
  }
  void operator()(const AppendRequest& body) const {
    auto& to = *out.mutable_append_request();
    to.set_previous_index(body.previous_index.value());
    to.set_previous_term(body.previous_term.value());
    to.set_commit(body.commit.value());
    to.mutable_entries()->Reserve(static_cast<int>(body.entries.size()));
    for (const Entry& entry : body.entries) {
      auto& one = *to.add_entries();
      one.set_term(entry.term.value());
      one.set_kind(static_cast<std::uint32_t>(entry.kind));
      SetBytes(one.mutable_payload(), entry.payload.view());
    }
  }
  void operator()(const AppendReply& body) const {
    auto& to = *out.mutable_append_reply();
    to.set_accepted(body.accepted);
    to.set_match(body.match.value());
    to.set_rejected(body.rejected.value());
    to.set_hint_index(body.hint_index.value());
    to.set_hint_term(body.hint_term.value());
  }
  void operator()(const Heartbeat& body) const {
    auto& to = *out.mutable_heartbeat();
    to.set_commit(body.commit.value());
    to.set_read_round(body.read_round);
    to.set_quiesce(body.quiesce);
  }
  void operator()(const HeartbeatReply& body) const {
    out.mutable_heartbeat_reply()->set_read_round(body.read_round);
  }
  void operator()(const SnapshotRequest& body) const {
    auto& to = *out.mutable_snapshot_request();
    to.set_index(body.mark.index.value());
    to.set_term(body.mark.term.value());
    to.set_configuration(EncodeConfiguration(body.mark.configuration));
  }
  void operator()(const TimeoutNow&) const { out.mutable_timeout_now(); }
  void operator()(const ReadIndexRequest& body) const {
    out.mutable_read_index_request()->set_context(body.context);
  }
  void operator()(const ReadIndexReply& body) const {
    auto& to = *out.mutable_read_index_reply();
    to.set_context(body.context);
    if (body.index) to.set_index(body.index->value());
  }
};

Bytes ShareBytes(const std::shared_ptr<const internal::PeerBatch>& owner, const std::string& text) {
  return Bytes(owner, text);
}

Status DecodeAppend(const std::shared_ptr<const internal::PeerBatch>& owner,
                    const internal::AppendRequest& in, AppendRequest& out) {
  out.previous_index = Index(in.previous_index());
  out.previous_term = Term(in.previous_term());
  out.commit = Index(in.commit());
  out.entries.reserve(static_cast<std::size_t>(in.entries_size()));
  Index index = out.previous_index;
  Term term = out.previous_term;
  for (const internal::LogEntry& entry : in.entries()) {
    index = index.Next();
    if (entry.kind() > static_cast<std::uint32_t>(kLastEntryKind) || Term(entry.term()) < term) {
      return Malformed("log entry");
    }
    term = Term(entry.term());
    out.entries.push_back({.term = term,
                           .index = index,
                           .kind = static_cast<EntryKind>(entry.kind()),
                           .payload = ShareBytes(owner, entry.payload())});
    Configuration configuration;
    if (out.entries.back().kind == EntryKind::kConfiguration &&
        !DecodeConfiguration(entry.payload(), configuration)) {
      return Malformed("configuration");
    }
  }
  return absl::OkStatus();
}

Status DecodeBody(const std::shared_ptr<const internal::PeerBatch>& owner,
                  const internal::GroupMessage& in, MessageBody& out) {
  switch (in.body_case()) {
    case internal::GroupMessage::kVoteRequest: {
      const auto& body = in.vote_request();
      out = VoteRequest{.last_index = Index(body.last_index()),
                        .last_term = Term(body.last_term()),
                        .pre_vote = body.pre_vote(),
                        .transfer = body.transfer()};
      return absl::OkStatus();
    }
    case internal::GroupMessage::kVoteReply:
      out = VoteReply{.pre_vote = in.vote_reply().pre_vote(), .granted = in.vote_reply().granted()};
      return absl::OkStatus();
    case internal::GroupMessage::kAppendRequest: {
      AppendRequest body;
      RETURN_IF_ERROR(DecodeAppend(owner, in.append_request(), body));
      out = std::move(body);
      return absl::OkStatus();
    }
    case internal::GroupMessage::kAppendReply: {
      const auto& body = in.append_reply();
      out = AppendReply{.accepted = body.accepted(),
                        .match = Index(body.match()),
                        .rejected = Index(body.rejected()),
                        .hint_index = Index(body.hint_index()),
                        .hint_term = Term(body.hint_term())};
      return absl::OkStatus();
    }
    case internal::GroupMessage::kHeartbeat: {
      const auto& body = in.heartbeat();
      out = Heartbeat{.commit = Index(body.commit()),
                      .read_round = body.read_round(),
                      .quiesce = body.quiesce()};
      return absl::OkStatus();
    }
    case internal::GroupMessage::kHeartbeatReply:
      out = HeartbeatReply{.read_round = in.heartbeat_reply().read_round()};
      return absl::OkStatus();
    case internal::GroupMessage::kSnapshotRequest: {
      SnapshotRequest body;
      body.mark.index = Index(in.snapshot_request().index());
      body.mark.term = Term(in.snapshot_request().term());
      if (!DecodeConfiguration(in.snapshot_request().configuration(), body.mark.configuration)) {
        return Malformed("configuration");
      }
      out = std::move(body);
      return absl::OkStatus();
    }
    case internal::GroupMessage::kTimeoutNow:
      out = TimeoutNow{};
      return absl::OkStatus();
    case internal::GroupMessage::kReadIndexRequest:
      out = ReadIndexRequest{.context = in.read_index_request().context()};
      return absl::OkStatus();
    case internal::GroupMessage::kReadIndexReply: {
      ReadIndexReply body{.context = in.read_index_reply().context(), .index = std::nullopt};
      if (in.read_index_reply().has_index()) body.index = Index(in.read_index_reply().index());
      out = body;
      return absl::OkStatus();
    }
    case internal::GroupMessage::BODY_NOT_SET:
      break;
  }
  return Malformed("message: its kind is unknown");
}

}  // namespace

void AddToBatch(const PeerMessage& message, internal::PeerBatch& batch) {
  if (const auto* call = std::get_if<Call>(&message.payload)) {
    auto& out = *batch.add_calls();
    out.set_id(call->id);
    out.set_answer(call->answer);
    out.set_method(call->method);
    SetBytes(out.mutable_body(), call->body.view());
    return;
  }
  const auto& group = std::get<GroupMessage>(message.payload);
  auto& out = *batch.add_messages();
  out.set_group_id(group.group.value());
  out.set_term(group.message.term.value());
  std::visit(BodyEncoder{out}, group.message.body);
}

StatusOr<std::vector<PeerMessage>> DecodeBatch(std::shared_ptr<const internal::PeerBatch> batch,
                                               NodeId from, NodeId to) {
  std::vector<PeerMessage> messages;
  messages.reserve(static_cast<std::size_t>(batch->messages_size()) +
                   static_cast<std::size_t>(batch->calls_size()));
  for (const internal::GroupMessage& in : batch->messages()) {
    GroupMessage group;
    group.group = GroupId(in.group_id());
    group.message.from = from;
    group.message.to = to;
    group.message.term = Term(in.term());
    RETURN_IF_ERROR(DecodeBody(batch, in, group.message.body));
    messages.push_back({.from = from, .to = to, .payload = std::move(group)});
  }
  for (const internal::NodeCall& in : batch->calls()) {
    Call call;
    call.id = in.id();
    call.answer = in.answer();
    call.method = in.method();
    call.body = ShareBytes(batch, in.body());
    messages.push_back({.from = from, .to = to, .payload = std::move(call)});
  }
  return messages;
}

std::string EncodeMessages(const std::vector<PeerMessage>& messages) {
  internal::PeerBatch batch;
  for (const PeerMessage& message : messages) AddToBatch(message, batch);
  return batch.SerializeAsString();
}

StatusOr<std::vector<PeerMessage>> DecodeMessages(std::string_view bytes, NodeId from, NodeId to) {
  auto batch = std::make_shared<internal::PeerBatch>();
  if (!batch->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Malformed("batch");
  }
  return DecodeBatch(std::move(batch), from, to);
}

std::size_t WireBytes(const PeerMessage& message) {
  constexpr std::size_t kOverhead = 48;
  if (const auto* call = std::get_if<Call>(&message.payload)) return kOverhead + call->body.size();
  std::size_t bytes = kOverhead;
  const auto& group = std::get<GroupMessage>(message.payload);
  if (const auto* append = std::get_if<AppendRequest>(&group.message.body)) {
    for (const Entry& entry : append->entries) bytes += entry.payload.size() + 16;
  }
  return bytes;
}

}  // namespace flotilla::raft
