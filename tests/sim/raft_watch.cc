#include "tests/sim/raft_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "base/crc32c.h"

namespace flotilla::sim {

void GroupWatch::Fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

void RaftWatch::Note(const raft::PeerMessage& message, std::uint64_t life) {
  const auto* one = std::get_if<raft::GroupMessage>(&message.payload);
  if (one == nullptr) return;
  GroupWatch& group = groups_[one->group];
  group.Note(one->message, life);
  if (!failure_.empty() || group.failure().empty()) return;
  failure_ = fmt::format("group {}: {}", one->group.value(), group.failure());
}

void RaftWatch::Note(const DirectoryImage& image) {
  if (image.version() <= directory_) return;
  directory_ = image.version();
  for (const auto& [group, shard] : image.shards()) places_.try_emplace(group);
  for (auto& [group, nodes] : places_) {
    const ShardDescriptor* shard = image.Find(group);
    for (const NodeId node : nodes) {
      if (shard == nullptr || !shard->Has(node)) groups_[group].NoteDeparted(node);
    }
    nodes = shard == nullptr ? std::vector<NodeId>() : shard->Members();
  }
}

std::uint64_t RaftWatch::Sum(std::uint64_t (GroupWatch::*count)() const) const {
  std::uint64_t sum = 0;
  for (const auto& [id, group] : groups_) sum += (group.*count)();
  return sum;
}

void GroupWatch::Note(const raft::Message& said, std::uint64_t life) {
  if (const auto* append = std::get_if<raft::AppendRequest>(&said.body)) {
    NoteLeader(said.from, said.term);
    NoteAppend(said.from, said.term, *append);
  } else if (const auto* heartbeat = std::get_if<raft::Heartbeat>(&said.body)) {
    NoteLeader(said.from, said.term);
    NoteCommit(said.term, heartbeat->commit);
  } else if (std::holds_alternative<raft::TimeoutNow>(said.body)) {
    NoteLeader(said.from, said.term);
  } else if (std::holds_alternative<raft::SnapshotRequest>(said.body)) {
    NoteLeader(said.from, said.term);
    ++snapshots_;
  } else if (const auto* request = std::get_if<raft::VoteRequest>(&said.body)) {
    NoteMissing(said.from, request->last_index.Next(), life);
    if (request->pre_vote) return;
    candidates_[{said.from, said.term}] = request->last_index;
    NoteVote(said.from, said.term, said.from);
    NoteTerm(said.from, said.term, life);
  } else if (const auto* vote = std::get_if<raft::VoteReply>(&said.body)) {
    // A pre-vote is granted in the asker's term to be.
    if (vote->pre_vote) return;
    if (vote->granted) NoteVote(said.from, said.term, said.to);
    if (vote->granted) CheckVote(said.from, said.term, said.to);
    NoteTerm(said.from, said.term, life);
  } else if (const auto* reply = std::get_if<raft::AppendReply>(&said.body)) {
    NoteTerm(said.from, said.term, life);
    if (reply->accepted) {
      NoteAcknowledged(said.from, said.term, reply->match, life);
    } else if (reply->rejected) {
      ++rejections_;
      if (!departed_.contains(said.from)) NoteMissing(said.from, reply->rejected, life);
    }
  }
}

void GroupWatch::NoteLeader(NodeId node, raft::Term term) {
  const auto [known, first] = leaders_.emplace(term, node);
  if (known->second == node) return;
  Fail(fmt::format("two leaders of term {}: nodes {} and {}", term.value(), known->second.value(),
                   node.value()));
}

void GroupWatch::NoteVote(NodeId node, raft::Term term, NodeId candidate) {
  const auto [known, first] = votes_.emplace(std::pair(node, term), candidate);
  if (known->second == candidate) return;
  Fail(fmt::format("node {} voted twice in term {}: for nodes {} and {}", node.value(),
                   term.value(), known->second.value(), candidate.value()));
}

void GroupWatch::CheckVote(NodeId node, raft::Term term, NodeId candidate) {
  const auto found = candidates_.find({candidate, term});
  if (found == candidates_.end()) return;
  const std::vector<Acknowledged>& acknowledged = acknowledged_[node];
  const std::uint64_t end = std::min(acknowledged.size(), committed_.size());
  for (std::uint64_t index = found->second.value() + 1; index < end; ++index) {
    const Acknowledged& had = acknowledged[index];
    const Committed& committed = committed_[index];
    if (!had.term || had.term != committed.term || had.in < committed.in || had.in >= term)
      continue;
    Fail(
        fmt::format("node {} votes in term {} for node {}, which lacks entry {} of term {} that "
                    "the voter has acknowledged",
                    node.value(), term.value(), candidate.value(), index, had.term.value()));
    return;
  }
}

void GroupWatch::NoteTerm(NodeId node, raft::Term term, std::uint64_t life) {
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

void GroupWatch::NoteAppend(NodeId from, raft::Term term, const raft::AppendRequest& append) {
  Leadership& leadership = leaderships_[term];
  raft::Index last = append.previous_index;
  raft::Term last_term = append.previous_term;
  for (const raft::Entry& entry : append.entries) {
    last = entry.index;
    last_term = entry.term;
    if (entry.term == term && (!leadership.first_own || entry.index < leadership.first_own)) {
      leadership.first_own = entry.index;
    }
    if (entry.index <= append.commit) NoteCommitted(entry.index, entry.term, term);
    const std::uint32_t content = Crc32c(entry.payload.view());
    const auto [known, first] = contents_.emplace(Place(entry.term, entry.index), content);
    if (known->second == content) continue;
    Fail(fmt::format("entry {} of term {} has two contents; node {} sends one in term {}",
                     entry.index.value(), entry.term.value(), from.value(), term.value()));
  }
  in_log_of_[Place(term, last)] = last_term;
  if (append.previous_index <= append.commit) {
    NoteCommitted(append.previous_index, append.previous_term, term);
  }
  NoteCommit(term, append.commit);
  if (leadership.first_own && append.commit >= leadership.first_own) return;
  // What was committed before has come with the log; the rest waits for an entry of the term
  // (5.4.2).
  if (!leadership.commit_taken) leadership.commit_taken = append.commit;
  if (leadership.commit_taken == append.commit) return;
  Fail(fmt::format("the leader of term {} counts: its commit index goes from {} to {}",
                   term.value(), leadership.commit_taken.value(), append.commit.value()));
}

void GroupWatch::NoteCommit(raft::Term leading, raft::Index commit) {
  Leadership& leadership = leaderships_[leading];
  if (commit <= leadership.commit) return;
  auto place = in_log_of_.upper_bound(Place(leading, leadership.commit));
  for (; place != in_log_of_.end() && place->first <= Place(leading, commit); ++place) {
    NoteCommitted(place->first.second, place->second, leading);
  }
  leadership.commit = commit;
}

void GroupWatch::NoteCommitted(raft::Index index, raft::Term term, raft::Term leading) {
  if (!index) return;
  if (committed_.size() <= index.value()) committed_.resize(index.value() * 2 + 64);
  Committed& known = committed_[index.value()];
  if (!known.term) known = {.term = term, .in = leading};
  if (known.term == term) return;
  Fail(fmt::format("index {} is committed with term {} and with term {}", index.value(),
                   known.term.value(), term.value()));
}

void GroupWatch::NoteAcknowledged(NodeId node, raft::Term leading, raft::Index match,
                                  std::uint64_t life) {
  const auto place = in_log_of_.find(Place(leading, match));
  if (place == in_log_of_.end()) return;
  std::vector<Acknowledged>& acknowledged = acknowledged_[node];
  if (acknowledged.size() <= match.value()) acknowledged.resize(match.value() * 2 + 64);
  acknowledged[match.value()] = {.term = place->second, .in = leading, .life = life};
}

void GroupWatch::NoteMissing(NodeId node, raft::Index first, std::uint64_t life) {
  const std::vector<Acknowledged>& acknowledged = acknowledged_[node];
  const std::uint64_t end = std::min(acknowledged.size(), committed_.size());
  for (std::uint64_t index = first.value(); index < end; ++index) {
    const Acknowledged& had = acknowledged[index];
    const Committed& committed = committed_[index];
    // An entry that was committed no later than acknowledged is in every log since, and no leader
    // may make the node give it up.
    if (!had.term || had.term != committed.term || had.in < committed.in) continue;
    // What is said in one life may be older than it seems: it has waited for the disk.
    if (had.life == life) continue;
    Fail(fmt::format("node {} has lost entry {} of term {}, which it has acknowledged",
                     node.value(), index, had.term.value()));
    return;
  }
}

}  // namespace flotilla::sim
