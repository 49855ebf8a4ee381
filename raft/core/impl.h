// Core::Impl: the state of a core, and the mechanisms that work on it, one file each.
//
//   inputs.cc       Tick, Step: who handles what; the rules about terms
//   election.cc     timeouts, pre-vote, votes, becoming something
//   replication.cc  the leader's log: proposals, what to send, what is committed
//   following.cc    the follower's log: appends, heartbeats
//   membership.cc   configurations (joint consensus, learners)
//   read_index.cc   linearizable reads, leases
//   transfer.cc     handing leadership over
//   snapshot.cc     compaction, snapshots to and from others
//   quiescence.cc   sleeping and waking
//   output.cc       Ready, status
//
// Two rules keep references sound: a Leading& is not used after anything that may end the
// leadership (CommitReached, BecomeFollower); and nothing is sent to followers at once, but noted
// in `work_` and gathered when the driver takes the next Ready, so that many inputs make one
// message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/core/configuration_tracker.h"
#include "raft/core/core.h"
#include "raft/core/log_terms.h"
#include "raft/core/persist_queue.h"
#include "raft/core/read_queue.h"
#include "raft/core/roles.h"

namespace flotilla::raft {

class Core::Impl {
 public:
  Impl(const CoreOptions& options, RestoredState restored);

  // As in Core.
  void Tick();
  void Step(Message message);
  ProposeResult Propose(std::vector<Bytes> payloads, EntryKind kind);
  MembershipRefusal ProposeMembership(MembershipChange change);
  void ReadIndex(std::uint64_t context);
  bool TransferLeadership(NodeId target);
  void Persisted(const PersistToken& token);
  void Applied(Index index);
  void Compacted(Index index);
  void SnapshotSent(NodeId to, bool delivered, Index mark_index);
  void SnapshotInstalled(Index index);
  void Wake();
  void KeepAwake();
  void ReportUnreachable(NodeId node);
  void CampaignUnled();
  void StepDown();
  bool HasReady() const;
  Ready TakeReady();
  CoreStatus Status() const;

  Role role() const;
  Term term() const { return term_; }
  NodeId leader() const { return leader_; }
  Index commit() const { return commit_; }
  const LogTerms& log() const { return log_; }
  const Configuration& configuration() const { return configurations_.current(); }
  bool MembersChanging() const;
  bool quiescent() const { return quiescent_; }

 private:
  // Time since this or that, in ticks.
  struct ElectionTimer {
    int elapsed = 0;       // since a leader was heard, a vote given or a campaign begun
    int timeout = 0;       // when to campaign; drawn anew each time
    int since_leader = 0;  // since a leader was heard; beyond the election timeout all the same
  };

  // What gathers for the next Ready, apart from the log.
  struct Outbox {
    std::vector<OutgoingMessage> now;
    std::vector<OutgoingMessage> waiting;  // for the hard state
    std::vector<ReadConfirmed> reads_confirmed;
    std::vector<ReadRefused> reads_refused;
    std::vector<NodeId> snapshot_wanted_by;
    std::optional<Overwritten> overwritten;
  };

  // A snapshot on its way into the place of the log.
  struct Install {
    SnapshotMark mark;
    bool given = false;  // to the driver
  };

  Leading* leading() { return std::get_if<Leading>(&role_); }
  const Leading* leading() const { return std::get_if<Leading>(&role_); }
  Campaigning* campaigning() { return std::get_if<Campaigning>(&role_); }

  // inputs.cc
  bool AdmitHigherTerm(const Message& message);
  void AnswerLowerTerm(const Message& message);
  void TickFollower();
  void TickLeader(Leading& leading);
  // Sends as this node in its present term, now or once that term is durable.
  void Send(NodeId to, OutgoingBody body);

  // election.cc
  bool MayCampaign() const;
  // Something that this node has acknowledged before it forgot the group.
  bool LacksWhatItHad() const;
  // Another candidate is to be ignored: this node leads, or has heard its leader lately (4.2.3).
  bool Sticky() const;
  void BecomeFollower(Term term, NodeId leader);
  void SetLeader(NodeId leader);
  void PreCampaign();
  void Campaign(bool transfer);
  void AskForVotes(Term term, bool pre_vote, bool transfer);
  void RecordVote(NodeId from, bool granted);
  void BecomeLeader();
  void OnVoteRequest(const Message& message, const VoteRequest& request);
  void OnVoteReply(const Message& message, const VoteReply& reply);
  void ResetElectionTimer();

  // replication.cc
  Index AppendLocal(EntryKind kind, Bytes payload);
  // Commits what a quorum has, if it is of this term (5.4.2). May end the leadership.
  void CommitReached();
  void ReplicateToAll(Leading& leading);
  void ReplicateTo(Progress& follower);
  // Of the log, which it has yet to acknowledge.
  std::uint64_t LagBytes(const Progress& follower) const {
    return log_.BytesIn({follower.match.Next(), log_.last().Next()});
  }
  // Instead of entries. Not before the state has what it must have.
  void WantSnapshot(Progress& follower);
  void SendRange(Progress& follower, Term previous_term, Index end);
  void SendCommitAlone(Progress& follower);
  // A round of heartbeats begins; its echoes confirm reads and the lease.
  void NextRound(Leading& leading);
  void SendHeartbeat(const Leading& leading, Progress& follower, bool quiesce);
  void BroadcastHeartbeat(Leading& leading, bool quiesce);
  void OnAppendReply(NodeId from, const AppendReply& reply);
  void OnHeartbeatReply(NodeId from, const HeartbeatReply& reply);

  // following.cc
  // False when the message cannot be from this term's leader.
  bool HeardLeader(NodeId from);
  void OnAppendRequest(NodeId from, AppendRequest request);
  void OnHeartbeat(NodeId from, const Heartbeat& heartbeat);
  bool AppendFromLeader(std::vector<Entry> entries);
  void CutLog(Index first);
  void FollowCommit(Index index);
  void OweReply(Index match);

  // membership.cc
  void AppendConfiguration(Configuration configuration);
  void NoteJoined(Leading& leading) const;
  // A configuration in force may just have been committed: leaves a joint one, or this node.
  void ConfigurationCommitted();
  void LeaveLeadership(Leading& leading);

  // read_index.cc
  bool CommittedInTerm(const Leading& leading) const;
  void StartReads(Leading& leading);
  void AskQuorum(Leading& leading);
  void TickReads(Leading& leading);
  void ConfirmReads(Leading& leading);
  void AnswerRead(const ReadWaiter& waiter, std::optional<Index> index);
  void RefuseReads(Leading& leading);
  void ForwardReads();
  void RefuseForwarded();
  bool LeaseValid(const Leading& leading) const;
  void OnReadIndexRequest(NodeId from, const ReadIndexRequest& request);
  void OnReadIndexReply(const ReadIndexReply& reply);

  // transfer.cc
  void TickTransfer(Leading& leading);
  void AdvanceTransfer(Leading& leading);
  void OnTimeoutNow();

  // snapshot.cc
  void OnSnapshotRequest(NodeId from, SnapshotRequest request);

  // quiescence.cc
  bool MayQuiesce(const Leading& leading) const;
  void TickQuiescence(Leading& leading);

  // output.cc
  void EmitReply(Ready& ready);
  void EmitWaiting(Ready& ready);
  bool ReplyReleasable() const;
  Index AppliableEnd() const;

  const CoreOptions options_;
  Random random_;
  LogTerms log_;
  ConfigurationTracker configurations_;
  PersistQueue disk_;
  Term term_;
  NodeId vote_;
  const LogEnd forgotten_;
  NodeId leader_;
  Index commit_;
  Index given_;    // committed entries up to here were given to the driver
  Index applied_;  // reported by it
  RoleState role_;
  ElectionTimer timer_;
  std::uint64_t ticks_ = 0;
  bool quiescent_ = false;
  bool work_ = false;          // TakeReady has followers to serve or reads to start
  std::optional<Index> owed_;  // an AppendReply to leader_, up to here; none without one
  std::optional<Install> install_;
  ForwardedReads forwarded_;
  Outbox out_;
  LeadershipChange announced_;
};

}  // namespace flotilla::raft
