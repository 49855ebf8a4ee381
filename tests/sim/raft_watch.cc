#include "tests/sim/raft_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "base/crc32c.h"

namespace flotilla::sim {

void RaftWatch::Fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

void RaftWatch::Note(const raft::PeerMessage& message, std::uint64_t life) {
  const auto* group = std::get_if<raft::GroupMessage>(&message.payload);
  if (group == nullptr) return;
  const raft::Message& said = group->message;
  if (const auto* append = std::get_if<raft::AppendRequest>(&said.body)) {
    NoteLeader(said.from, said.term);
    NoteAppend(said.from, said.term, *append);
  } else if (std::holds_alternative<raft::Heartbeat>(said.body) ||
             std::holds_alternative<raft::TimeoutNow>(said.body)) {
    NoteLeader(said.from, said.term);
  } else if (std::holds_alternative<raft::SnapshotRequest>(said.body)) {
    NoteLeader(said.from, said.term);
    ++snapshots_;
  } else if (const auto* request = std::get_if<raft::VoteRequest>(&said.body)) {
    if (request->pre_vote) return;
    NoteVote(said.from, said.term, said.from);
    NoteTerm(said.from, said.term, life);
  } else if (const auto* vote = std::get_if<raft::VoteReply>(&said.body)) {
    // A pre-vote is granted in the asker's term to be.
    if (vote->pre_vote) return;
    if (vote->granted) NoteVote(said.from, said.term, said.to);
    NoteTerm(said.from, said.term, life);
  } else if (const auto* reply = std::get_if<raft::AppendReply>(&said.body)) {
    NoteTerm(said.from, said.term, life);
    if (!reply->accepted) ++rejections_;
  }
}

void RaftWatch::NoteLeader(NodeId node, raft::Term term) {
  const auto [known, first] = leaders_.emplace(term, node);
  if (known->second == node) return;
  Fail(fmt::format("two leaders of term {}: nodes {} and {}", term.value(), known->second.value(),
                   node.value()));
}

void RaftWatch::NoteVote(NodeId node, raft::Term term, NodeId candidate) {
  const auto [known, first] = votes_.emplace(std::pair(node, term), candidate);
  if (known->second == candidate) return;
  Fail(fmt::format("node {} voted twice in term {}: for nodes {} and {}", node.value(),
                   term.value(), known->second.value(), candidate.value()));
}

void RaftWatch::NoteTerm(NodeId node, raft::Term term, std::uint64_t life) {
  Spoken& spoken = terms_[node];
  if (life < spoken.life) Fail(fmt::format("two nodes are node {}", node.value()));
  if (spoken.life != life) {
    spoken.life = life;
    spoken.before = std::max(spoken.before, spoken.in_life);
  }
  spoken.in_life = std::max(spoken.in_life, term);
  if (term >= spoken.before) return;
  Fail(fmt::format("node {} speaks in term {}; before its last start it has spoken in {}",
                   node.value(), term.value(), spoken.before.value()));
}

void RaftWatch::NoteAppend(NodeId from, raft::Term term, const raft::AppendRequest& append) {
  if (append.previous_index <= append.commit) {
    NoteCommitted(append.previous_index, append.previous_term);
  }
  for (const raft::Entry& entry : append.entries) {
    if (entry.index <= append.commit) NoteCommitted(entry.index, entry.term);
    const std::uint32_t content = Crc32c(entry.payload.view());
    const auto [known, first] = contents_.emplace(Place(entry.term, entry.index), content);
    if (known->second == content) continue;
    Fail(fmt::format("entry {} of term {} has two contents; node {} sends one in term {}",
                     entry.index.value(), entry.term.value(), from.value(), term.value()));
  }
}

void RaftWatch::NoteCommitted(raft::Index index, raft::Term term) {
  if (!index) return;
  if (committed_.size() <= index.value()) committed_.resize(index.value() * 2 + 64);
  raft::Term& known = committed_[index.value()];
  if (!known) known = term;
  if (known == term) return;
  Fail(fmt::format("index {} is committed with term {} and with term {}", index.value(),
                   known.value(), term.value()));
}

}  // namespace flotilla::sim
