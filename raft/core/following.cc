#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/impl.h"

namespace flotilla::raft {
namespace {

// Whether a peer's request is one that a leader of `term` can have sent.
bool WellFormed(const AppendRequest& request, Term term) {
  Index index = request.previous_index;
  Term newest = request.previous_term;
  for (const Entry& entry : request.entries) {
    if (entry.index != index.Next() || entry.term < newest || entry.term > term) return false;
    index = entry.index;
    newest = entry.term;
  }
  return true;
}

}  // namespace

bool Core::Impl::HeardLeader(NodeId from) {
  if (leading() || (leader_ && leader_ != from)) return false;
  if (campaigning()) BecomeFollower(term_, from);
  SetLeader(from);
  timer_.elapsed = 0;
  timer_.since_leader = 0;
  quiescent_ = false;
  return true;
}

void Core::Impl::OnAppendRequest(NodeId from, AppendRequest request) {
  if (!WellFormed(request, term_) || !HeardLeader(from)) return;
  // Meanwhile the log is about to be replaced.
  if (install_) return;

  if (request.previous_index < commit_) {
    // Late or repeated. What is committed is the same everywhere: only the rest is of interest.
    const std::uint64_t known =
        std::min<std::uint64_t>(commit_ - request.previous_index, request.entries.size());
    request.entries.erase(request.entries.begin(),
                          request.entries.begin() + static_cast<std::ptrdiff_t>(known));
    request.previous_index = commit_;
    request.previous_term = *log_.TermAt(commit_);
  }

  const bool unchecked =
      Planted(Plant::kPreviousUnchecked) && request.previous_index <= log_.last();
  if (log_.TermAt(request.previous_index) != request.previous_term && !unchecked) {
    Index hint = log_.LastNotAbove(request.previous_index, request.previous_term);
    hint = std::max(hint, commit_);
    Send(from, AppendReply{.accepted = false,
                           .match = Index{},
                           .rejected = request.previous_index,
                           .hint_index = hint,
                           .hint_term = *log_.TermAt(hint)});
    return;
  }

  const Index match = request.previous_index + request.entries.size();
  if (!AppendFromLeader(std::move(request.entries))) return;
  FollowCommit(std::min(request.commit, match));
  OweReply(match);
}

// Takes over what the log does not have yet. Only a conflict truncates: a request that is older
// than what followed it must not (5.3). False, with nothing changed, for an entry that is damaged.
bool Core::Impl::AppendFromLeader(std::vector<Entry> entries) {
  auto fresh = entries.begin();
  const auto known = [this](const Entry& entry) {
    if (Planted(Plant::kOldAppendTruncates)) return false;
    if (Planted(Plant::kConflictByIndex)) return entry.index <= log_.last();
    return log_.TermAt(entry.index) == entry.term;
  };
  while (fresh != entries.end() && known(*fresh)) ++fresh;

  std::vector<std::pair<Index, Configuration>> configurations;
  for (auto entry = fresh; entry != entries.end(); ++entry) {
    if (entry->kind != EntryKind::kConfiguration) continue;
    auto& [index, configuration] = configurations.emplace_back();
    index = entry->index;
    if (!DecodeConfiguration(entry->payload.view(), configuration)) return false;
  }

  if (fresh == entries.end()) return true;
  if (fresh->index <= log_.last()) CutLog(fresh->index);
  for (; fresh != entries.end(); ++fresh) {
    log_.Append(fresh->term, static_cast<std::uint32_t>(fresh->payload.size()));
    disk_.Append(std::move(*fresh));
  }
  for (auto& [index, configuration] : configurations) {
    configurations_.Append(index, std::move(configuration));
  }
  return true;
}

void Core::Impl::CutLog(Index first) {
  CHECK_GT(first, commit_) << "a committed entry would be overwritten";
  log_.TruncateFrom(first);
  disk_.TruncateFrom(first);
  configurations_.TruncateFrom(first);
  if (!out_.overwritten || first < out_.overwritten->first) out_.overwritten = {first};
  if (owed_ && *owed_ >= first) owed_.reset();
}

void Core::Impl::FollowCommit(Index index) {
  commit_ = std::max(commit_, std::min(index, log_.last()));
}

void Core::Impl::OweReply(Index match) { owed_ = std::max(owed_.value_or(Index{}), match); }

void Core::Impl::OnHeartbeat(NodeId from, const Heartbeat& heartbeat) {
  if (!HeardLeader(from)) return;
  // The leader names nothing that this node has not acknowledged in this term.
  if (!install_) FollowCommit(heartbeat.commit);
  if (heartbeat.read_round != 0) Send(from, HeartbeatReply{heartbeat.read_round});
  // One that has not got everything stays awake: it will ask, and wake the others.
  quiescent_ = heartbeat.quiesce && !install_ && forwarded_.empty() &&
               commit_ == heartbeat.commit && log_.last() == commit_;
}

}  // namespace flotilla::raft
