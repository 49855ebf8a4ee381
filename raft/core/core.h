// Core: one member of one Raft group, as a deterministic state machine.
//
// Purpose: everything that the Raft paper and thesis say, and nothing else: no I/O, no clock, no
// thread. Time is Tick(); chance is the seed; the disk and the network are the driver's.
//
// Place in the picture: raft/group.h drives it from the group's raft strand; tests drive it by
// hand. After every input the driver takes TakeReady() until HasReady() is false.
//
// The core holds no payloads of its own log: it keeps terms and sizes of the entries after the
// snapshot, and names ranges that the driver reads from the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/core/message.h"
#include "raft/core/ready.h"
#include "raft/core/types.h"

namespace flotilla::raft {

struct CoreOptions {
  NodeId self;
  // The driver calls Tick() at a fixed pace; all times are in ticks. A follower campaigns after a
  // random number of ticks in [election_timeout_ticks, 2 * election_timeout_ticks).
  int election_timeout_ticks = 15;
  int heartbeat_ticks = 5;
  // Flow control, per follower: unacknowledged bytes and requests; bytes of one request.
  std::size_t inflight_bytes_max = 16 << 20;
  std::size_t inflight_requests_max = 128;
  std::size_t append_bytes_max = 1 << 20;
  // Unapplied-proposal bound: Propose() is refused beyond it.
  std::size_t uncommitted_bytes_max = 256 << 20;
  // Ticks without any traffic after which a fully replicated group falls asleep; 0: never.
  int quiesce_after_ticks = 0;
  // Serve reads under a leader lease instead of a confirmation round. Correct only while the
  // clocks of the members drift apart by less than this share of the election timeout per timeout.
  bool leases = false;
  // A leader that was paused must get the Tick()s that it missed before its next ReadIndex().
  double lease_drift_max = 0.1;
  // Another one at each start: besides the jitter it numbers requests, and an answer to an earlier
  // life of this node must not match.
  std::uint64_t seed = 1;
};

// One entry of the log as start-up finds it.
struct LoggedEntry {
  Term term;
  std::uint32_t bytes = 0;
};

// What a restarted node knows. `log` continues right after `snapshot.index`; `configurations`
// holds the configuration entries in it, by index, ascending. The snapshot's configuration is empty
// where it is not known: entries follow that are committed.
struct RestoredState {
  HardState hard_state;
  SnapshotMark snapshot;
  std::vector<LoggedEntry> log;
  std::vector<std::pair<Index, Configuration>> configurations;
  // Already in the state machine; at least snapshot.index and at most the log's last index (a state
  // machine that is ahead of its log makes a `snapshot` of its mark and an empty log).
  Index applied;
};

enum class ProposeRefusal : std::uint8_t {
  kNotLeader,
  kTransferring,     // a leadership transfer is under way: ask again after it
  kTooMuchInFlight,  // uncommitted_bytes_max
  kMembersChanging,  // of a kControl entry: ask again when the change is done
};

struct ProposeResult {
  // Where the first payload went; nothing when refused.
  std::optional<Index> first;
  Term term;
  ProposeRefusal refusal = ProposeRefusal::kNotLeader;
};

enum class MembershipRefusal : std::uint8_t {
  kNone,
  kNotLeader,
  kChangeUnderWay,  // an earlier change has not been committed and left; or not all is applied of
                    // the terms before (the 2015 single-server bug has a cousin here) and of the
                    // leader's kControl entries; or the state machine has members stay as they are
  kNotCaughtUp,     // a learner to be promoted lags too far behind
  kNoVoters,        // nobody would be left to decide
  kNoChange,
};

// The members wanted, whole. The core goes there by joint consensus (or in one step when at most
// one voter differs and no voter becomes a learner), and leaves the joint configuration by itself,
// once it is committed. A node in both sets is a voter.
struct MembershipChange {
  std::set<NodeId> voters;
  std::set<NodeId> learners;
  std::string context;
};

// Progress of one follower as its leader sees it, for people and for flow control.
struct FollowerProgress {
  NodeId node;
  Index match;
  Index next;
  enum class State : std::uint8_t { kProbe, kReplicate, kSnapshot } state = State::kProbe;
  std::size_t inflight_bytes = 0;
  std::uint64_t lag_bytes = 0;   // of the log, which it has yet to acknowledge
  bool recently_active = false;  // heard from within the last two election timeouts
  // It counts as such since the group woke up, and has yet to be heard.
  bool activity_assumed = false;
  bool learner = false;
};

struct CoreStatus {
  Role role = Role::kFollower;
  Term term;
  NodeId vote;
  NodeId leader;
  Index commit;
  Index applied;
  Index last;
  Index durable;
  SnapshotMark snapshot;  // of the log's start
  Configuration configuration;
  Index configuration_index;
  bool quiescent = false;
  NodeId transfer_target;
  std::vector<FollowerProgress> followers;  // of a leader, by node
};

class Core {
 public:
  Core(const CoreOptions& options, RestoredState restored);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // ---- inputs -----------------------------------------------------------------------------

  // One unit of time has passed. Cheap and silent while quiescent.
  void Tick();

  // A message arrived: perhaps late, repeated, out of order, or from a stranger to the
  // configuration. The driver has checked that it is addressed to this node.
  void Step(Message message);

  // Appends one entry per payload, of kind kCommand or kControl; none of the latter while members
  // change. On success they are in the next
  // Ready's persist batch and on their way; the outcome shows as commitment, or as Overwritten, or
  // never.
  ProposeResult Propose(std::vector<Bytes> payloads, EntryKind kind = EntryKind::kCommand);

  MembershipRefusal ProposeMembership(MembershipChange change);

  // Asks for the index that a linearizable read must wait for. Every context gets exactly one
  // ReadConfirmed or ReadRefused, except across a restart. Before the first commit of its term a
  // leader holds the read back. On a follower the request goes to the leader. Contexts that wait
  // together share one confirmation.
  void ReadIndex(std::uint64_t context);

  // Hands leadership to a voter; zero picks the one whose log is furthest along. False when not
  // leading, when the target is not a voter, or when one is under way. The transfer is given up
  // after an election timeout.
  bool TransferLeadership(NodeId target);

  // The persist batch of this token, and all before it, are durable.
  void Persisted(const PersistToken& token);

  // The state machine has applied up to here (it moves the bound on unapplied proposals).
  void Applied(Index index);

  // The log's prefix up to `index` (applied, and covered by a durable state machine) has gone.
  void Compacted(Index index);

  // A snapshot transfer to a follower ended: it has the state up to `mark_index`, or failed.
  void SnapshotSent(NodeId to, bool delivered, Index mark_index);

  // The snapshot of Ready::install is in place and durable, and the log is reset to it.
  void SnapshotInstalled(Index index);

  // Forget the quiescence: the group has work, or the leader's node is suspected.
  void Wake();
  // A leader has plans: it falls asleep no sooner than quiesce_after_ticks from here.
  void KeepAwake();
  // The transport lost the node (false: it is likely down): flow control stops optimism.
  void ReportUnreachable(NodeId node);

  // Ask for votes now, or again, if nobody is known to lead: a new group need not wait for a
  // timeout.
  void Campaign();

  // Abdicate: stop leading without a successor (a slow or failing disk). Followers elect another.
  void StepDown();

  // ---- outputs ----------------------------------------------------------------------------

  bool HasReady() const;
  Ready TakeReady();

  // ---- looking in -------------------------------------------------------------------------

  Role role() const;
  Term term() const;
  NodeId leader() const;
  Index commit() const;
  Index last_index() const;
  const Configuration& configuration() const;
  // It may still be lost, or is joint.
  bool MembersChanging() const;
  bool quiescent() const;
  // The term of an index in [snapshot.index, last]; nothing outside.
  std::optional<Term> TermAt(Index index) const;
  CoreStatus Status() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace flotilla::raft
